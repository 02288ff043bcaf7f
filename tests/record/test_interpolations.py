from omegaconf import OmegaConf

from genexp.record.interpolations import with_recorded


def test_a_run_folder_reads_no_variable_of_this_machine_but_where_data_lie(monkeypatch):
    monkeypatch.setenv("PRIVATE", "gone")
    monkeypatch.setenv("GENEXP_DATA", "/data")
    monkeypatch.delenv("GENEXP_CACHE", raising=False)
    config = OmegaConf.create(
        {
            "a": "${oc.env:PRIVATE}",
            "key": "${c.d}",
            "c": {"d": 1, "e": "${..a}", "missing": "???"},
            "root": "${oc.env:GENEXP_DATA,null}",
            "cache": '${oc.env:GENEXP_CACHE,"~/.cache"}/statistics',
            "nested": [1, "${oc.env:PRIVATE}", {"x": "${oc.env:${c.name}}"}],
            "escaped": r"\${oc.env:PRIVATE}",
            "behind": "${oc.env:GENEXP_DATA,${oc.env:PRIVATE}}",
            "now": "${now:%Y}",
            "select": "${oc.select:data.label_factors,null}",
        }
    )
    recorded = {"a": "then", "nested": [1, "then", {"x": "${oc.env:PRIVATE}"}], "behind": r"\${oc.env:PRIVATE}"}
    found = OmegaConf.to_container(with_recorded(config, recorded), resolve=True)
    assert found == {
        "a": "then",
        "key": 1,
        "c": {"d": 1, "e": "then", "missing": "???"},
        "root": "/data",
        "cache": "~/.cache/statistics",
        "nested": [1, "then", {"x": "${oc.env:PRIVATE}"}],
        "escaped": None,
        "behind": r"\${oc.env:PRIVATE}",
        "now": None,
        "select": None,
    }
