"""Whether the server of Weights & Biases can be reached."""

import base64
import json
import netrc
import os
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen


def obstacle(timeout_s: float = 5.0) -> str | None:
    """Why W&B cannot be reached online, found out in a few seconds by asking the server who we are; None if it can."""
    base = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").rstrip("/")
    host = urlparse(base).hostname
    key = os.environ.get("WANDB_API_KEY")
    if not key:
        try:
            key = (netrc.netrc().authenticators(host) or (None, None, None))[2]
        except (OSError, netrc.NetrcParseError):
            pass
    if not key:
        return "there is no API key (WANDB_API_KEY, or `wandb login`)"
    headers = {"Content-Type": "application/json"}
    headers["Authorization"] = "Basic " + base64.b64encode(f"api:{key}".encode()).decode()
    question = json.dumps({"query": "query Viewer { viewer { id } }"}).encode()
    try:
        with urlopen(Request(f"{base}/graphql", question, headers), timeout=timeout_s) as answer:
            known = (json.load(answer).get("data") or {}).get("viewer")
    except HTTPError as error:
        known = None
        if error.code not in (401, 403):
            return f"{host} answers {error.code} {error.reason}"
    except (OSError, ValueError, HTTPException) as error:
        return f"{host} cannot be reached ({getattr(error, 'reason', error)})"
    return None if known else f"{host} does not accept the API key"
