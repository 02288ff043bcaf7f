"""A stand-in for the W&B server on the loopback: it keeps what a client sends, and gives resumed runs back what it has."""

import base64
import contextlib
import gzip
import json
import re
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class WandbStandIn(ThreadingHTTPServer):
    """The endpoints that training, ``wandb sync``, sweeps with their agents, saved workspaces and reports use: GraphQL, file
    stream and uploads.

    ``runs`` maps an id to its bucket (name, group, job type, tags, config as last sent), ``history`` (rows by their offset),
    ``summary``, ``stream`` (offsets of every post) and ``exit_code``; ``files`` maps an uploaded path to its bytes; ``bodies``
    is everything received except headers; ``keys`` are the API keys seen in the authorisation header; ``unknown`` are
    operations that it has no answer for; ``accepted`` restricts the keys that it knows (None: all). ``sweeps`` are configs of
    sweeps by id, ``points`` what agents are still to try, a dictionary of parameters each; ``artifacts`` and ``alerts`` are
    what runs sent.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.runs, self.files, self.bodies, self.keys, self.unknown, self.views = {}, {}, [], set(), [], []
        self.connections, self.accepted = [], None
        self.sweeps, self.points, self.agents, self.artifacts, self.alerts = {}, [], {}, [], []
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def handle_error(self, request, client_address):
        """A client that hangs up is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def stop(self):
        """Die: open connections break, and the port refuses new ones from now on."""
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def only_run(self):
        """The one run that was received."""
        (run,) = self.runs.values()
        return run


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.server.connections.append(self.connection)

    def log_message(self, *_):
        pass

    def answer(self, value):
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        raw = gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw
        if authorisation := self.headers.get("Authorization"):
            scheme, _, value = authorisation.partition(" ")
            self.key = base64.b64decode(value).decode().partition(":")[2] if scheme == "Basic" else value
            self.server.keys.add(self.key)
        self.server.bodies.append(raw)
        return raw

    def do_GET(self):
        self.body()
        self.answer({})

    def do_PUT(self):
        body = self.body()
        with self.server.lock:
            self.server.files[unquote(self.path.removeprefix("/storage/"))] = body
        self.answer({})

    def do_POST(self):
        body = self.body()
        with self.server.lock:
            if self.path.endswith("/graphql"):
                self.answer(self.graphql(json.loads(body)))
            elif stream := re.fullmatch(r"/files/([^/]+)/([^/]+)/([^/]+)/file_stream", self.path):
                self.answer(self.file_stream(stream[3], json.loads(body)))
            else:  # telemetry
                self.answer({})

    def graphql(self, body):
        query, variables = body["query"], body.get("variables") or {}
        name = re.search(r"(?:query|mutation)\s+(\w+)", query)
        operation = getattr(self, name[1] if name else "", None)
        if operation is None:
            self.server.unknown.append(query)
            return {"errors": [{"message": "the stand-in does not know this operation"}]}
        return {"data": operation(variables)}

    def file_stream(self, run_id, body):
        run = self.server.runs[run_id]
        for name, part in (body.get("files") or {}).items():
            run["stream"].append((name, part["offset"], len(part["content"])))
            if name == "wandb-history.jsonl":
                for i, line in enumerate(part["content"]):
                    run["history"][part["offset"] + i] = json.loads(line)
            elif name == "wandb-summary.json":
                run["summary"] = json.loads(part["content"][0])
        if body.get("complete"):
            run["exit_code"] = body["exitcode"]
        return {"exitcode": None, "limits": {}}

    def RunResumeStatus(self, variables):
        run = self.server.runs.get(variables["name"])
        return {"model": PROJECT | {"bucket": run and bucket(run)}}

    def UpsertBucket(self, variables):
        new = variables["name"] not in self.server.runs
        run = self.server.runs.setdefault(variables["name"], {"history": {}, "summary": {}, "stream": [], "config": {}})
        given = {key: value for key, value in variables.items() if value is not None}
        run |= given | ({"config": json.loads(given["config"])} if "config" in given else {})
        return {"upsertBucket": {"bucket": bucket(run) | {"project": PROJECT}, "inserted": new}}

    def CreateRunFiles(self, variables):
        files = [
            {"name": name, "uploadUrl": f"{self.server.url}/storage/{variables['run']}/{name}"}
            for name in variables["files"]
        ]
        answer = {"runID": variables["run"], "uploadHeaders": [], "files": files}
        return {"createRunFiles": answer}

    def Viewer(self, variables):
        if self.server.accepted is not None and self.key not in self.server.accepted:
            return {"viewer": None}
        nobody = {"id": "user", "entity": "team", "username": "user", "email": "", "flags": "{}"}
        return {"viewer": nobody | {"teams": {"edges": []}}}

    def OrganizationCoreWeaveOrganizationID(self, variables):
        return {"entity": {"organization": None}}

    def ServerFeaturesQuery(self, variables):
        return {"serverInfo": {"features": []}}

    def ArtifactType(self, variables):
        return {"project": {"artifact": None}}

    def CreateArtifact(self, variables):
        """A table itself comes as a file of the run, so there is nothing left to upload of it."""
        given = variables["input"]
        number = len(self.server.artifacts)
        self.server.artifacts.append(given | {"metadata": json.loads(given.get("metadata") or "{}"), "files": {}})
        state = "COMMITTED" if given["artifactTypeName"] == "run_table" else "PENDING"
        artifact = {"id": f"artifact{number}", "state": state, "artifactSequence": {"latestArtifact": None}}
        return {"createArtifact": {"artifact": artifact}}

    def CreateArtifactManifest(self, variables):
        return {"createArtifactManifest": {"artifactManifest": self.manifest(variables["artifactID"])}}

    def UpdateArtifactManifest(self, variables):
        manifest = self.manifest(variables["artifactManifestID"])
        return {"updateArtifactManifest": {"artifactManifest": manifest}}

    def manifest(self, name):
        place = f"{self.server.url}/storage/manifests/{name}"
        return {"id": name, "file": {"id": name, "uploadUrl": place, "uploadHeaders": []}}

    def CreateArtifactFiles(self, variables):
        edges = []
        for file in variables["input"]["artifactFiles"]:
            name = f"{file['artifactID']}/{file['name']}"
            self.server.artifacts[int(file["artifactID"].removeprefix("artifact"))]["files"][file["name"]] = name
            node = {"storagePath": name, "uploadUrl": f"{self.server.url}/storage/{name}", "uploadHeaders": []}
            edges.append({"node": node | {"uploadMultipartUrls": None, "artifact": {"id": file["artifactID"]}}})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def CommitArtifact(self, variables):
        return {"commitArtifact": {"artifact": {"id": variables["artifactID"], "digest": "digest"}}}

    def UpsertSweep(self, variables):
        self.server.sweeps["sweep1"] = variables["config"]
        return {"upsertSweep": {"sweep": {"name": "sweep1", "project": PROJECT}, "configValidationWarnings": []}}

    def SweepWithRuns(self, variables):
        config = self.server.sweeps.get(variables["sweep"])
        sweep = {"id": "sweep", "name": variables["sweep"], "state": "RUNNING", "config": config, "runs": {"edges": []}}
        return {"project": {"sweep": sweep | dict.fromkeys(("controller", "scheduler", "method", "description"))}}

    def CreateAgent(self, variables):
        name = f"agent{len(self.server.agents)}"
        self.server.agents[name] = variables["sweep"]
        return {"createAgent": {"agent": {"id": name}}}

    def Heartbeat(self, variables):
        """The next point, once the last one is done; then the end."""
        commands = []
        if not json.loads(variables["runState"] or "{}"):
            if self.server.points:
                args = {name: {"value": value} for name, value in self.server.points.pop(0).items()}
                run_id = f"run{len(self.server.points)}"
                commands = [{"type": "run", "run_id": run_id, "program": None, "args": args}]
            else:
                commands = [{"type": "exit"}]
        return {"agentHeartbeat": {"agent": {"id": variables["id"]}, "commands": json.dumps(commands)}}

    def NotifyScriptableRunAlert(self, variables):
        self.server.alerts.append(variables)
        return {"notifyScriptableRunAlert": {"success": True}}

    def ProjectInternalId(self, variables):
        return {"project": {"id": "project", "internalId": "UHJvamVjdEludGVybmFsSWQ6MQ=="}}

    def GetProjects(self, variables):
        end = {"endCursor": None, "hasNextPage": False}
        node = {
            "node": PROJECT | {"entityName": "team", "createdAt": "", "isBenchmark": False, "user": None},
            "cursor": "",
        }
        return {"models": {"edges": [node], "pageInfo": end}}

    def upsertView(self, variables):
        """Of a report."""
        self.server.views.append(variables | {"spec": json.loads(variables["spec"])})
        kept = {name: variables[name] for name in ("type", "name", "displayName", "description", "spec")}
        project = {"id": "project", "name": variables["projectName"], "entityName": variables["entityName"]}
        return {"upsertView": {"view": kept | {"id": "view", "project": project, "updatedAt": None}, "inserted": True}}

    def UpsertView2(self, variables):
        self.server.views.append(variables | {"spec": json.loads(variables["spec"])})
        return {"upsertView": {"view": {"id": "view", "name": variables["name"]}, "inserted": True}}


PROJECT = {"id": "project", "name": "genexp", "entity": {"id": "team", "name": "team"}}


def bucket(run):
    """What the server tells of a run that it knows."""
    rows = [json.dumps(run["history"][i]) for i in sorted(run["history"])]
    return {
        "id": run["name"],
        "name": run["name"],
        "displayName": run.get("displayName"),
        "description": None,
        "notes": None,
        "sweepName": None,
        "tags": run.get("tags", []),
        "config": json.dumps(run["config"]),
        "summaryMetrics": json.dumps(run["summary"]),
        "historyLineCount": len(rows),
        "historyTail": json.dumps(rows[-1:]),
        "eventsLineCount": 0,
        "eventsTail": "[]",
        "logLineCount": 0,
        "wandbConfig": json.dumps({"t": 1}),
    }
