"""An API server that answers as much as helm asks of one: which kinds there are, and the objects that a test gives it."""

import contextlib
import http.server
import json
import pathlib
import subprocess
import tempfile
import threading

import kube

# Kinds that a cluster with Istio and the Gateway API has, by group and version.
BASE = {
    "v1": {kind: f"{kind.lower()}s" for kind in ("ConfigMap", "Namespace", "Pod", "Secret", "Service", "ServiceAccount")},
    "apps/v1": {"Deployment": "deployments"},
    "batch/v1": {"Job": "jobs"},
    "policy/v1": {"PodDisruptionBudget": "poddisruptionbudgets"},
    "networking.k8s.io/v1": {"NetworkPolicy": "networkpolicies"},
    "rbac.authorization.k8s.io/v1": {"Role": "roles", "RoleBinding": "rolebindings"},
    "extensions.istio.io/v1alpha1": {"WasmPlugin": "wasmplugins"},
    "networking.istio.io/v1alpha3": {"EnvoyFilter": "envoyfilters"},
    "gateway.networking.k8s.io/v1": {"Gateway": "gateways"},
}
INFERENCE = {"inference.networking.k8s.io/v1": {"InferencePool": "inferencepools"}}


def of(kind, name, namespace, **fields):
    version = next(version for version, kinds in (BASE | INFERENCE).items() if kind in kinds)
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}} | fields


def owned(it, release="picker", namespace="llm-picker"):
    """The same as a release of this name made it."""
    said = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace}
    it["metadata"] |= {"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": said}
    return it


GATEWAY = of("Gateway", "inference-gateway", "istio-ingress")


class Answers:
    def __init__(self, kinds, objects):
        self.kinds, self.objects = kinds, objects

    def to(self, path):
        if path == "/version":
            return {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        groups = [version.split("/") for version in self.kinds if "/" in version]
        if path == "/apis":
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [self.group(*group) for group in groups]}
        for version, kinds in self.kinds.items():
            root = f"/apis/{version}" if "/" in version else f"/api/{version}"
            if path == root:
                resources = [{"name": plural, "kind": kind, "namespaced": True, "verbs": ["get", "list"]} for kind, plural in kinds.items()]
                return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}
            for kind, plural in kinds.items():
                for namespace in {it["metadata"]["namespace"] for it in self.objects} | {"istio-ingress", "llm-picker"}:
                    place = f"{root}/namespaces/{namespace}/{plural}"
                    here = [it for it in self.objects if it["kind"] == kind and it["metadata"]["namespace"] == namespace]
                    if path == place:
                        return {"kind": f"{kind}List", "apiVersion": version, "metadata": {}, "items": here}
                    for it in here:
                        if path == f"{place}/{it['metadata']['name']}":
                            return it
        return None

    @staticmethod
    def group(name, version):
        said = {"groupVersion": f"{name}/{version}", "version": version}
        return {"name": name, "versions": [said], "preferredVersion": said}


@contextlib.contextmanager
def serving(kinds, objects):
    """The file by which helm finds an API server with these kinds and objects."""
    answers = Answers(kinds, objects)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answer = answers.to(self.path.split("?")[0])
            status = 404 if answer is None else 200
            missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": "not found"}
            body = json.dumps(answer or missing).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "kubeconfig")
        address = f"http://127.0.0.1:{server.server_port}"
        config.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": address}}], "users": [{"name": "u", "user": {}}],
        }))
        try:
            yield folder
        finally:
            server.shutdown()
            server.server_close()


def render(kinds, objects, *settings):
    """What helm makes of the chart for such a cluster."""
    with serving(kinds, objects) as folder:
        flags = [flag for setting in settings for flag in ("--set-json", setting)]
        return subprocess.run(
            [kube.ROOT / "target/kube/helm", "template", "picker", kube.CHART, "--namespace", "llm-picker", "--dry-run=server",
             "--disable-openapi-validation", *flags],
            env={"KUBECONFIG": f"{folder}/kubeconfig", "HOME": folder, "HELM_CACHE_HOME": folder},
            capture_output=True,
            text=True,
            check=False,
        )
