"""The blocks of code in the documents, and what becomes of each: a list that has to be whole."""

import pathlib
import sys

import kube

sys.path.insert(0, str(kube.ROOT / "tools"))
import stranger

PAGES = [*sorted((kube.ROOT / "docs").glob("*.md")), kube.ROOT / "README.md", kube.ROOT / "envoy/chart/README.md"]


class Block:
    """A block: its page, its first line's number, its language if it is fenced, and its text without the indentation."""

    def __init__(self, page, line, language, lines):
        least = min(len(it) - len(it.lstrip()) for it in lines if it.strip())
        self.page, self.line, self.language = str(page.relative_to(kube.ROOT)), line, language
        self.text = "\n".join(it[least:] for it in lines).rstrip() + "\n"

    def __repr__(self):
        return f"{self.page}:{self.line}: {self.text.splitlines()[0]}"


def of(page):
    """Yields the page's blocks: fenced ones, and paragraphs that are indented by four spaces or more."""
    fence, begun, gathered, before = None, 0, [], ""
    for number, line in enumerate([*page.read_text().splitlines(), "end"], 1):
        is_fence = line.startswith("```")
        if fence is None and gathered and line.strip() and not line.startswith("    "):
            yield Block(page, begun, "", gathered)
            gathered = []
        if is_fence and fence is None:
            fence, begun, gathered = line[3:], number, []
        elif is_fence:
            yield Block(page, begun, fence, gathered)
            fence, gathered = None, []
        elif fence is not None or gathered:
            gathered.append(line)
        elif line.startswith("    ") and not before.strip():
            begun, gathered = number, [line]
        before = line


def all_of():
    """Every block of every page, but for what tools/stranger.py does."""
    for page in PAGES:
        done = {content for _, _, content in stranger.blocks(page.read_text())}
        yield from (block for block in of(page) if block.text.rstrip() not in done)


# What becomes of a block, by its page and its beginning.
#   run: by test_blocks.py, over a stack
#   read: by `llm-scraper check`, helm or Envoy, in test_blocks.py
#   told: by the story behind it
#   not: for the reason behind it
LEDGER = {
    ("README.md", "flowchart"): ("not", "a picture"),
    ("README.md", "./build.sh run       #"): ("not", "builds, and runs every test"),
    ("README.md", "from anthropic import"): ("told", "tests/it/envoy/library.rs"),
    ("README.md", "./build.sh run --upstream"): ("run", "as that of docs/envoy.md"),
    ("README.md", '{"modelRewrites"'): ("read", "plugin"),
    ("docs/beside-epp.md", "helm upgrade --install picker"): ("told", "tests/it/cluster/scene.rs"),
    ("docs/configuration.md", "epp.yaml:7:11:"): ("not", "what `check` prints; scraper/tests hold the words of 60 faulty files"),
    ("docs/configuration.md", '{"plugins": [{"type": "queue-scorer"}'): ("read", "plugin"),
    ("docs/configuration.md", "kind: HTTPRoute"): ("read", "route"),
    ("docs/configuration.md", '{"identity"'): ("read", "plugin"),
    ("docs/configuration.md", "export LLM_PICKER_SECRET="): ("run", "over the stack"),
    ("docs/envoy.md", "./build.sh run\n"): ("run", "the stack of this test"),
    ("docs/envoy.md", "./build.sh run --upstream"): ("run", "over the pods of the first stack"),
    ("docs/envoy.md", "servers="): ("run", "an Envoy of one's own"),
    ("docs/envoy.md", 'endpoints=""'): ("run", "an Envoy of one's own"),
    ("docs/envoy.md", "export LLM_PICKER_SECRET="): ("run", "an Envoy of one's own"),
    ("docs/envoy.md", "curl -s http://127.0.0.1:9091/ "): ("run", "an Envoy of one's own"),
    ("docs/istio.md", "helm install picker envoy/chart"): ("told", "tests/it/cluster/scene.rs"),
    ("docs/istio.md", "kubectl -n istio-ingress patch gateway inference-gateway --type merge"): ("told", "tests/it/cluster/scene.rs"),
    ("docs/istio.md", "helm test"): ("not", "helm's test needs an image of a registry; the request behind it is that of tests/it/cluster/load.rs"),
    ("docs/istio.md", "kubectl -n istio-ingress patch gateway inference-gateway --type json"): ("told", "tests/it/cluster/scene.rs"),
    ("docs/openshift.md", "oc get"): ("told", "tests/deploy/test_docs.py"),
    ("docs/openshift.md", "oc -n openshift-ingress patch gateway"): ("told", "tests/it/cluster/seed.rs"),
    ("docs/openshift.md", "oc -n demo-llmd patch llminferenceservice"): ("told", "tests/it/cluster/seed.rs"),
    ("docs/openshift.md", "--set-json 'monitoring"): ("read", "flags"),
    ("docs/openshift.md", "helm install picker"): ("told", "tests/deploy/test_docs.py"),
    ("docs/openshift.md", "objectives:"): ("read", "values"),
    ("docs/openshift.md", "--set monitoring"): ("read", "flags"),
    ("docs/openshift.md", "helm test"): ("not", "needs OpenShift AI and its identities"),
    ("docs/operations.md", "route:"): ("read", "bootstrap"),
    ("docs/operations.md", "curl -X POST 'http://127.0.0.1:9901/runtime_modify"): ("run", "over the stack"),
    ("docs/operations.md", "tracing:"): ("read", "bootstrap"),
    ("docs/operations.md", "curl -X POST 'http://127.0.0.1:9901/logging"): ("run", "over the stack"),
    ("docs/operations.md", "new=$(openssl"): ("not", "needs a cluster; tests/it/envoy/rotation.rs takes the same steps in the same order"),
    ("docs/operations.md", "kubectl -n llm-picker patch secret"): ("not", "the second of these steps"),
    ("docs/operations.md", "kubectl -n istio-ingress patch secret"): ("not", "the third of these steps"),
    ("docs/saturation.md", '{"plugins"'): ("read", "plugin"),
    ("docs/scraper.md", "LLM_PICKER_SECRET=… llm-scraper"): ("run", "with --check, as it does not end by itself"),
    ("docs/scraper.md", "listen:"): ("read", "settings"),
    ("docs/scraper.md", "gateways:"): ("read", "settings"),
    ("docs/scraper.md", "pools:"): ("read", "settings"),
    ("docs/scraper.md", '{"pull"'): ("read", "plugin"),
    ("docs/scraper.md", "llm-scraper --endpoint 10.0.0.1:8000 --once"): ("run", "over the stack"),
    ("envoy/chart/README.md", "helm install picker"): ("told", "tests/deploy/test_docs.py"),
}


def entry(block):
    """The key of the block in the list; an error if there are none or several."""
    keys = [key for key in LEDGER if key[0] == block.page and block.text.startswith(key[1])]
    if len(keys) != 1:
        raise AssertionError(f"{block!r} is in the list {len(keys)} times: tests/deploy/blocks.py says what becomes of each block")
    return keys[0]


def find(page, beginning):
    """The one block of a page that begins so."""
    [found] = [it for it in all_of() if it.page == page and it.text.startswith(beginning)]
    return found.text
