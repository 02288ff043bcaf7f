import pytest

from genexp.record.secrets import find_secret, mask

GITHUB = "ghp_" + "abcdefghijklmnopqrstuvwxyz0123456789"
SECRETS = {
    **dict.fromkeys("password passwd pwd passphrase db_password secret client_secret SecretKey".split(), "x"),
    **dict.fromkeys(
        "DB-PASSWORD secret_key api_key apiKey api-key wandb_api_key private_key ssh_key access_key aws_secret_access_key".split(),
        "x",
    ),
    **dict.fromkeys(
        "token hf_token accessToken auth authorization bearer credentials session_cookie webhook_url dsn".split(), "x"
    ),
    "pin_password": 1234,
    "OPENAI_KEY": "abcdefghijklmnopqr123",
    "note1": GITHUB,
    "note2": "hf_" + "a" * 24,
    "note3": "AKIA" + "IOSFODNN7EXAMPLE",
    "note4": "Bearer abcdefghijkl",
    "note5": "-----BEGIN RSA " + "PRIVATE KEY-----\nabc",
    "note6": "sk-" + "a" * 24,
    "note7": "https://user:word@host/x",
    "note8": f"curl -H x:{GITHUB}",
    "note9": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc",
    "note10": "xoxb-123456789012-abc",
    "note11": "glpat-" + "a" * 20,
}
HARMLESS = {
    "key": "val/loss",
    "tokens": 256,
    "num_tokens": 3,
    "passes": 3,
    "author": "Kim",
    "label": "entry",
    "monitor": "val/loss",
    "first_stage_sha256": "ab" * 32,
    "note": "Basic VAE, bearer of news",
    "root": "/data/secrets/x",
    "tag": "pass",
    "password": None,
    "token": None,
    "authors": ["Kingma"],
    "description": "sk-learn digits",
}


@pytest.mark.parametrize("name, value", SECRETS.items(), ids=SECRETS)
def test_found_wherever_it_stands(name, value):
    assert find_secret({"a": {"b": [{name: value}]}}) == f"a.b[0].{name}"


@pytest.mark.parametrize("name, value", HARMLESS.items(), ids=HARMLESS)
def test_settings_are_no_secrets(name, value):
    assert find_secret({"a": [{name: value}]}) is None


def test_a_secret_as_a_name_or_in_a_list():
    assert find_secret({"tags": ["x", GITHUB]}) == "tags[1]"
    assert find_secret({"a": {GITHUB: 1}}) == f"a.{GITHUB}"


def test_the_key_of_wandb_is_found_anywhere(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    assert find_secret({"name": "run-0123456789abcdef"}) == "name"
    assert mask("x = 0123456789abcdef") == "x = ***"


def test_a_patch_keeps_its_lines_but_not_its_secrets():
    patch = (
        f'+API_KEY = "abcd1234"\n+x = "{GITHUB}"\n+url: https://a:b@host\n+password: hunter2\n'
        "+def token(x): return 3\n key = y\n auth = make_auth(3)\n"
    )
    assert mask(patch) == (
        '+API_KEY = "***"\n+x = "***"\n+url: https://***@host\n+password: ***\n'
        "+def token(x): return 3\n key = y\n auth = make_auth(3)\n"
    )
    key = "-----BEGIN " + "PRIVATE KEY-----\nabc\n-----END " + "PRIVATE KEY-----"
    assert mask(f"+{key}\n+end") == "+***\n+end"
