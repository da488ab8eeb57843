"""The chart in envoy/chart/."""

import functools
import hashlib
import itertools
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import kube
import schemas
import yaml

WAYS = ["wasmPlugin", "wasmPluginFailover", "envoyFilter"]
ACCOUNT = 'serviceAccounts=[{"name":"caller","namespace":"team-a","priority":100}]'
DIGEST = "sha256:" + "0" * 64

RICH = {
    "monitoring": {"enabled": True, "dashboards": {"grafana": {"enabled": True}, "perses": {"enabled": True}}},
    "scraper": {"replicas": 3, "image": {"digest": DIGEST}, "imagePullSecrets": [{"name": "mirror"}]},
}

QWEN = {"name": "qwen", "namespace": "models", "podLabels": {"app": "qwen"}}
KSERVE = {"name": "qwen", "namespace": "demo-llmd", "kind": "llmInferenceService"}

# Two in one namespace, one of the same name elsewhere, each with something that the others have not.
SEVERAL = [
    QWEN,
    {"name": "llama", "namespace": "models", "podLabels": {"app": "llama"}, "port": 9000, "gatewayShare": 0.5},
    KSERVE | {"config": {"plugins": [{"type": "queue-scorer"}]}, "inferencePool": {"create": False, "name": "theirs"}},
]


PROVIDER = {"name": "provider", "namespace": "models", "unpicked": True}

# One URL: each model by its name, the last resort at a provider's.
BY_HEADER = [
    QWEN | {"match": {"model": ["qwen"]}, "fallback": {"pool": "llama", "saturation": 0.9}},
    QWEN | {"name": "llama", "match": {"model": ["llama"]}, "fallback": {"pool": "provider"}},
    PROVIDER,
]


def models(*of):
    return f"models={json.dumps(of)}"


# Beside an EPP, at each step.
BESIDE = {
    "name": "qwen", "namespace": "models", "backend": "inferencePool",
    "inferencePool": {"name": "qwen-inference-pool"}, "routes": ["models.route.0"],
}
STEPS = ["lookOn", "override", "off"]

# Objects in the place of the plugin's own objectives, for which a model has a pool.
WITH_POOL = QWEN | {"inferencePool": {"create": True}}

# A gateway that nobody may connect to, and that no registry serves.
APART = ['snapshots="pull"', 'picker.image={"fromScraper":true,"sha256":"%s"}' % ("0" * 64), "scraper.nodeZones=true"]

# One value of each line, in all combinations.
MATRIX = [
    [[f'picker.way="{way}"'] for way in WAYS],
    [[models(QWEN)], [models(KSERVE)], [models(*SEVERAL)], [models(WITH_POOL), 'objectiveGroup="llm-d.ai"']],
    [[], APART],
    [["scraper.replicas=1"], [ACCOUNT, *(f"{key}={json.dumps(value)}" for key, value in RICH.items())]],
]

# The Envoy configuration of the chart is that of the manifests, which runs in real Envoys.
SAME = {"wasmPlugin": "wasmplugin", "wasmPluginFailover": "wasmplugin-failover", "envoyFilter": "envoyfilter"}


class Chart(unittest.TestCase):
    def test_helm_finds_nothing(self):
        result = kube.run("helm", "lint", "--strict", kube.CHART)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_a_cluster_takes_every_rendering(self):
        for settings, rendering in renderings():
            for instance in rendering:
                with self.subTest(settings=settings, kind=instance["kind"], name=instance["metadata"]["name"]):
                    schemas.check(instance)

    def test_the_programs_take_their_settings_from_every_rendering(self):
        for settings, rendering in renderings():
            with self.subTest(settings=settings):
                for result in check_settings(scraper_file(rendering)), check_plugin(plugin_configuration(rendering)):
                    self.assertEqual(result.returncode, 0, result.stderr)

    def test_the_scraper_may_do_what_it_does_and_no_more(self):
        needed = list(yaml.safe_load_all((kube.ROOT / "scraper/kubernetes/rbac.yaml").read_text()))
        of_pods, of_pools, of_gateways, of_zones = ([rules([it])] for it in needed)
        of_pools = [sorted(of_pods[0] + of_pools[0])]
        for settings, allowed in [
            ([], of_pods + of_gateways),
            ([models(*SEVERAL)], of_pods + of_pools + of_gateways),
            ([models(BESIDE)], of_pools + of_gateways),
            (["scraper.nodeZones=true"], of_pods + of_gateways + of_zones),
            (['snapshots="pull"'], of_pods),
        ]:
            with self.subTest(settings=settings):
                rendering = kube.objects(kube.render(*settings))
                granted = [rules([it]) for it in rendering if it["kind"] in ("Role", "ClusterRole")]
                self.assertEqual(sorted(granted), sorted(allowed))

    def test_parts_are_apart(self):
        """A model team's release holds nothing of the gateway's namespace, and the other way round."""
        model = kube.objects(kube.render('install={"gateway":false,"models":true,"scraper":false}'))
        self.assertEqual({it["metadata"]["namespace"] for it in model}, {"models"})
        gateway = kube.objects(kube.render('install={"gateway":true,"models":false,"scraper":false}'))
        self.assertEqual({it["metadata"]["namespace"] for it in gateway}, {"istio-ingress"})
        self.assertFalse({"EnvoyFilter", "WasmPlugin"} & {it["kind"] for it in model})

    def test_wrong_values_are_refused_with_a_reason(self):
        for setting, reason in [
            ('picker.way="wasm"', "'wasmPlugin', 'wasmPluginFailover', 'envoyFilter'"),
            ('picker.wya="wasmPlugin"', "additional properties 'wya' not allowed"),
            (models(QWEN | {"port": 0}), "/models/0/port"),
            (models(QWEN | {"podLabels": {}}), "/models/0/podLabels"),
            (models({"name": "a", "namespace": "b"}), "models[0].podLabels: missing"),
            (models(QWEN | {"epp": "off"}), "models[0].epp: found off with backend service"),
            (models(QWEN | {"backend": "inferencePool"}), "models[0].inferencePool.name: missing"),
            (models(BESIDE | {"epp": "shadow"}), "'lookOn', 'override', 'off'"),
            (models(BESIDE | {"epp": "off", "routes": []}), "models[0].routes: missing"),
            (models(BESIDE | {"servicePort": 80}), "models[0].servicePort: found 80 with backend inferencePool"),
            (models(BESIDE | {"inferencePool": {"name": "a", "create": True}}), "models[0].inferencePool.create: found true"),
            ('picker={"way":"wasmPlugin","mode":"observe"}', "picker.mode: found observe with picker.way wasmPlugin"),
            (models(BESIDE, QWEN | {"name": "llama"}), "models: found epp lookOn beside none"),
            ("picker.canaryPercent=0", "/picker/canaryPercent"),
            ('picker={"canaryPercent":20}', "picker.canaryPercent: found 20 with epp none; allowed: 100, or epp override"),
            ('picker={"canaryPodLabels":{"a":"b"}}', 'picker.canaryPodLabels: found {"a":"b"} with epp none; allowed: none, or epp override or off'),
            ("picker.canaryPodLabels=[]", "/picker/canaryPodLabels"),
            (models(), "minItems: got 0, want 1"),
            ("picker.routeHeaders=true", "picker.routeHeaders: found true with picker.way wasmPluginFailover; allowed: envoyFilter"),
            # Of these models none is told by its name, and none by another's fallback.
            ('picker={"way":"envoyFilter","routeHeaders":true}', "models[0].match: missing; with picker.routeHeaders match.model"),
            (models(QWEN, PROVIDER), "models[1].unpicked: found true with picker.routeHeaders false"),
            (models(QWEN | {"fallback": {"pool": "qwen"}}), "models[0].fallback.pool: found qwen; allowed: another model's pool"),
            (models(QWEN | {"fallback": {"pool": "llama", "saturation": 0}}), "/models/0/fallback/saturation"),
            ('gateway.istio="1.27"', "snapshots: found push with gateway.istio 1.27; allowed: pull"),
            ('gateway={"istio":"1.28.0-rc"}', "/gateway/istio"),
            ('picker.image.fromScraper=true', "picker.image.sha256: missing"),
            ('picker.image={"fromScraper":true,"url":"https://a/b"}', "found url and fromScraper"),
            ("picker.gatewayShare=0", "/picker/gatewayShare"),
            ('scraper.interval="50"', "/scraper/interval"),
            ('picker.image.digest="sha256:12"', "/picker/image/digest"),
            ('objectives=[{"name":"a"}]', "priority"),
            ('picker={"way":"envoyFilter","image":{"pullSecret":"mirror"}}', "/picker/image/pullSecret"),
        ]:
            with self.subTest(setting=setting):
                result = kube.render(setting)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(reason, result.stderr)

    def test_an_older_istio_gets_what_it_can_do(self):
        older = ['gateway.istio="1.26.3"', 'snapshots="pull"', 'picker.failStrategy="FAIL_CLOSE"']
        self.assertNotIn("allow_on_headers_stop_iteration", json.dumps(kube.objects(kube.render(*older))))
        for setting, reason in [
            ('picker.way="envoyFilter"', "picker.way: found envoyFilter with gateway.istio 1.26.3"),
            ('picker.failStrategy="FAIL_RELOAD"', "picker.failStrategy: found FAIL_RELOAD"),
        ]:
            self.assertIn(reason, kube.render(*older, setting).stderr)

    def test_each_model_is_a_pool_with_its_own_requests(self):
        for way, suffix in ("wasmPlugin", "-picked"), ("wasmPluginFailover", ""), ("envoyFilter", ""):
            with self.subTest(way=way):
                rendering = kube.objects(kube.render(f'picker.way="{way}"', models(*SEVERAL)))
                pools = plugin_configuration(rendering)["pools"]
                self.assertEqual([it["name"] for it in pools], ["qwen", "llama", "demo-llmd.qwen"])
                kserve = "qwen-picked" if suffix else "qwen-kserve-workload-svc"
                hosts = [f"qwen{suffix}.models", f"llama{suffix}.models", f"{kserve}.demo-llmd"]
                clusters = [f"outbound|{port}||{host}.svc.cluster.local" for port, host in zip([8000, 9000, 8000], hosts)]
                self.assertEqual([it["match"] for it in pools], [{"cluster": it} for it in clusters])
                self.assertEqual([it.get("gatewayShare", 1) for it in pools], [1, 0.5, 1])
                self.assertEqual(pools[2]["config"], {"plugins": [{"type": "queue-scorer"}]})
                patched = [it["spec"]["configPatches"] for it in rendering if it["metadata"]["name"] == "picker-cluster"]
                patches = [it for patches in patched for it in patches if it["applyTo"] == "CLUSTER"]
                services = [it["match"]["cluster"]["service"] for it in patches]
                self.assertEqual(services, [] if suffix else [f"{host}.svc.cluster.local" for host in hosts])
                scraped = yaml.safe_load(scraper_file(rendering))["pools"]
                self.assertEqual([it["name"] for it in scraped], [it["name"] for it in pools])

    def test_a_service_may_have_another_port_than_its_pods(self):
        """Envoy's cluster is called after the Service's port, and the scraper reads the pods at theirs."""
        for way, service in ("wasmPlugin", "qwen-picked"), ("wasmPluginFailover", "qwen"), ("envoyFilter", "qwen"):
            with self.subTest(way=way):
                rendering = kube.objects(kube.render(f'picker.way="{way}"', models(QWEN | {"port": 8000, "servicePort": 80})))
                [pool] = plugin_configuration(rendering)["pools"]
                self.assertEqual(pool["match"], {"cluster": f"outbound|80||{service}.models.svc.cluster.local"})
                [scraped] = yaml.safe_load(scraper_file(rendering))["pools"]
                self.assertEqual(scraped["pods"]["port"], 8000)
                patches = [it for of in rendering if of["kind"] == "EnvoyFilter" for it in of["spec"]["configPatches"]]
                patched = [it["match"]["cluster"]["portNumber"] for it in patches if it["applyTo"] == "CLUSTER"]
                self.assertEqual(patched, [] if way == "wasmPlugin" else [80])
                made = [it["spec"]["ports"] for it in rendering if it["kind"] == "Service" and it["metadata"]["name"] == "qwen-picked"]
                self.assertEqual(made, [[{"name": "http", "port": 80, "targetPort": 8000}]] if way == "wasmPlugin" else [])

    def test_pods_that_speak_https_are_spoken_to_so(self):
        """Of wasmPlugin the DestinationRule is the chart's own; in the other ways it is the user's."""
        for model, wanted in (QWEN, None), (QWEN | {"tls": {"insecureSkipVerify": True}}, "SIMPLE"), (KSERVE, "SIMPLE"):
            with self.subTest(model=model):
                rendering = kube.objects(kube.render('picker.way="wasmPlugin"', models(model)))
                [rule] = [it["spec"]["trafficPolicy"] for it in rendering if it["kind"] == "DestinationRule"]
                self.assertEqual(rule.get("tls", {}).get("mode"), wanted)
                [scraped] = yaml.safe_load(scraper_file(rendering))["pools"]
                self.assertEqual(scraped.get("metrics", {}).get("scheme"), "https" if wanted else None)

    def test_one_url_serves_many_models_and_a_provider(self):
        setting = 'picker={"way":"envoyFilter","routeHeaders":true}'
        rendering = kube.objects(kube.render(setting, models(*BY_HEADER)))
        config = plugin_configuration(rendering)
        self.assertTrue(config["routeHeaders"])
        qwen, llama, provider = config["pools"]
        self.assertEqual(qwen["fallback"], {"pool": "llama", "saturation": 0.9})
        self.assertEqual(llama["fallback"], {"pool": "provider"})
        self.assertEqual(qwen["match"], {"model": ["qwen"]})
        self.assertEqual(sorted(provider), ["match", "name", "unpicked"])
        scraped = yaml.safe_load(scraper_file(rendering))["pools"]
        self.assertEqual([it["name"] for it in scraped], ["qwen", "llama"])
        self.assertNotIn("provider", json.dumps([it["spec"] for it in rendering if it["metadata"]["name"] == "picker-cluster"]))
        # The scraper may watch the namespace, though its first model has no pods.
        roles = [it for it in rendering if it["kind"] == "Role" and it["metadata"]["namespace"] == "models"]
        self.assertEqual(len(roles), 1)
        for result in check_settings(scraper_file(rendering)), check_plugin(config):
            self.assertEqual(result.returncode, 0, result.stderr)
        provider_first = kube.objects(kube.render(setting, models(*reversed(BY_HEADER))))
        self.assertEqual(len([it for it in provider_first if it["kind"] == "Role" and it["metadata"]["namespace"] == "models"]), 1)
        self.assertNotIn("routeHeaders", plugin_configuration(kube.objects(kube.render())))
        nobodys = kube.render(setting, models(BY_HEADER[0], QWEN | {"name": "llama", "match": {"model": ["llama"]}}, PROVIDER))
        self.assertIn("models[2].match: missing", nobodys.stderr)

    def test_no_inference_definition_is_needed(self):
        for way in WAYS:
            rendering = kube.objects(kube.render(f'picker.way="{way}"', ACCOUNT))
            self.assertEqual([it for it in rendering if "inference" in it["apiVersion"] or "llm-d" in it["apiVersion"]], [])
            [pool] = yaml.safe_load(scraper_file(rendering))["pools"]
            self.assertEqual(pool["pods"], {"labels": {"app": "qwen"}, "port": 8000, "namespace": "models", "nodeZones": False})
            [pool] = plugin_configuration(rendering)["pools"]
            self.assertEqual([it["name"] for it in pool["objectives"]], ["authenticated", "unauthenticated", "team-a"])

    def test_each_step_beside_an_epp_adds_one_thing(self):
        """Filters and routes change at different times in a gateway: a release changes one of them."""
        for way in WAYS[1:]:
            parts, modes = [], []
            for epp in STEPS:
                rendering = kube.objects(kube.render(f'picker.way="{way}"', models(BESIDE | {"epp": epp})))
                parts.append({it["metadata"]["name"] for it in rendering if it["kind"] == "EnvoyFilter"})
                config = plugin_configuration(rendering)
                modes.append(config["mode"])
                [pool] = config["pools"]
                host = "qwen-inference-pool-ip-4cd103db.models.svc.cluster.local"
                self.assertEqual(pool["match"], {"cluster": f"outbound|54321||{host}"})
                self.assertNotIn("objectives", pool)
                self.assertNotIn("InferencePool", [it["kind"] for it in rendering])
                text = json.dumps(rendering)
                self.assertEqual("ExtProcPerRoute" in text, epp == "off")
                # The pool's cluster follows metadata already.
                self.assertNotIn("override_host", text)
            with self.subTest(way=way):
                of_way = {"picker-destination", "picker-strip"} if way == "wasmPluginFailover" else set()
                self.assertEqual(parts[1] - parts[0], {"picker-pool", "picker-cluster"} | of_way)
                self.assertEqual(parts[0] - parts[1], set())
                self.assertEqual(parts[2] - parts[1], {"picker-epp-off"})
                self.assertEqual(modes, ["observe", "steer", "steer"])

    def test_a_canary_is_a_share_of_what_overrides(self):
        def followed(*settings):
            rendering = kube.objects(kube.render(models(BESIDE | {"epp": "override"}), *settings))
            pool = next(it for it in rendering if it["metadata"]["name"] == "picker-pool")
            return pool["spec"]["configPatches"][0]["patch"]["value"]["typed_config"]

        whole = followed()
        canary = followed("picker.canaryPercent=20")
        self.assertEqual(canary["extension_config"]["typed_config"], whole)
        self.assertIn('"default_value": {"numerator": 80, "denominator": "HUNDRED"}', json.dumps(canary["xds_matcher"]))

    def test_a_canary_is_of_destinations(self):
        """All requests are the picker's to hold and to refuse, which whoever begins one is told."""
        for canary in "picker.canaryPercent=20", 'picker.canaryPodLabels={"picker":"canary"}':
            settings = [models(BESIDE | {"epp": "override"}), canary]
            self.assertEqual(plugin_configuration(kube.objects(kube.render(*settings)))["mode"], "steer")
            flags = [flag for setting in settings for flag in ("--set-json", setting)]
            said = kube.run("helm", "install", "--dry-run=client", "picker", kube.CHART, *flags).stdout
            self.assertIn("A canary is of destinations", said)
        self.assertNotIn("canary", kube.run("helm", "install", "--dry-run=client", "picker", kube.CHART).stdout.split("NOTES:")[1])

    def test_a_canary_is_some_pods_of_the_gateway(self):
        gateway = {"gateway.networking.k8s.io/gateway-name": "inference-gateway"}
        for epp, parts in ("override", ["picker-pool"]), ("off", ["picker-epp-off", "picker-pool"]):
            rendering = kube.objects(kube.render(models(BESIDE | {"epp": epp}), 'picker.canaryPodLabels={"picker":"canary"}'))
            filters = {it["metadata"]["name"]: it["spec"] for it in rendering if it["kind"] == "EnvoyFilter"}
            chosen = [name for name, spec in filters.items() if spec["workloadSelector"]["labels"] == gateway | {"picker": "canary"}]
            self.assertEqual(sorted(chosen), parts)
            others = [spec["workloadSelector"]["labels"] for name, spec in filters.items() if name not in chosen]
            self.assertTrue(others and all(labels == gateway for labels in others))

    def test_nothing_follows_a_header_that_the_picker_leaves_alone(self):
        """A picker that observes takes no header away, so that a client could choose its pod by it."""
        for settings in (
            ['picker={"way":"envoyFilter","mode":"observe"}'], ['picker.mode="observe"', models(BESIDE)], ['picker.mode="observe"'], [models(BESIDE)],
        ):
            rendering = kube.objects(kube.render(*settings))
            # Nor does anything else: what an EPP or a client wrote stays.
            self.assertNotIn("HeaderMutation", json.dumps(rendering))
            self.assertNotIn("override_host", json.dumps(rendering))
            self.assertNotIn("header_to_metadata", json.dumps(rendering))
        refused = kube.render('picker.mode="observe"', models(BESIDE | {"epp": "override"}))
        self.assertIn("found override or off with picker.mode observe", refused.stderr)

    def test_a_long_name_of_a_pool_is_cut_as_istio_cuts_it(self):
        name = "p" * 60
        rendering = kube.objects(kube.render(models(BESIDE | {"inferencePool": {"name": name}})))
        [pool] = plugin_configuration(rendering)["pools"]
        service = pool["match"]["cluster"].split("|")[3].split(".")[0]
        self.assertEqual(service, f"{'p' * 51}-ip-{hashlib.sha256(name.encode()).hexdigest()[:8]}")

    def test_what_a_gateway_names_outlives_the_release(self):
        rendering = kube.objects(kube.render())
        kept = {
            (it["kind"], it["metadata"]["namespace"], it["metadata"]["name"])
            for it in rendering
            if it["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
        }
        secrets = {("Secret", place, "llm-picker-ingest") for place in ("istio-ingress", "llm-picker")}
        self.assertEqual(kept, secrets | {("ConfigMap", "istio-ingress", "picker-gateway")})
        values = [it["data"]["secret"] for it in rendering if it["kind"] == "Secret"]
        self.assertEqual(len(values), 2)
        self.assertEqual(len(set(values)), 1)
        self.assertNotIn("Secret", [it["kind"] for it in kube.objects(kube.render("ingest.createSecret=false"))])

    def test_the_configuration_is_checked_before_an_upgrade(self):
        typo = 'picker.config={"plugins":[{"type":"queu-scorer"}]}'
        for settings, code in ([], 0), ([models(*SEVERAL)], 0), ([typo], 1):
            rendering = kube.objects(kube.render(*settings))
            hooks = [it for it in rendering if "pre-upgrade" in it["metadata"].get("annotations", {}).get("helm.sh/hook", "")]
            [files] = [it["data"] for it in hooks if it["kind"] == "ConfigMap"]
            [job] = [it["spec"]["template"]["spec"]["containers"][0] for it in hooks if it["kind"] == "Job"]
            with tempfile.TemporaryDirectory() as folder:
                for name, text in files.items():
                    pathlib.Path(folder, name).write_text(text)
                arguments = [argument.replace(job["volumeMounts"][0]["mountPath"], folder) for argument in job["args"]]
                result = scraper(folder, *arguments)
            with self.subTest(settings=settings):
                self.assertEqual(result.returncode, code, result.stdout + result.stderr)

    def test_every_model_has_the_objectives(self):
        """As objects, of which a namespace has one of a name, or else in the plugin's configuration."""
        several = [SEVERAL[0] | {"inferencePool": {"create": True}}, *SEVERAL[1:]]
        rendering = kube.objects(kube.render(models(*several), ACCOUNT, 'objectiveGroup="llm-d.ai"'))
        objects = [it for it in rendering if it["kind"] == "InferenceObjective"]
        there = {}
        for it in objects:
            there.setdefault(it["spec"]["poolRef"]["name"], {})[it["metadata"]["name"]] = it["spec"]["priority"]
        configured = {it["name"]: it.get("objectives") for it in plugin_configuration(rendering)["pools"]}
        wanted = {"authenticated": 0, "unauthenticated": -10, "team-a": 100}
        self.assertEqual(there, {"qwen-picked": wanted})
        self.assertEqual([name for name, said in configured.items() if said], ["llama", "demo-llmd.qwen"])
        self.assertEqual({it["name"]: it["priority"] for it in configured["llama"]}, wanted)
        named = [(it["kind"], it["metadata"].get("namespace"), it["metadata"]["name"]) for it in rendering]
        self.assertEqual(len(named), len(set(named)))

    def test_only_the_scraper_reaches_the_port_for_snapshots(self):
        def ports(rule):
            return {(it["protocol"], it["port"], it.get("endPort", it["port"])) for it in rule["ports"]}

        for open, port in (True, 15810), (False, 15810), (True, 1), (True, 65535):
            with self.subTest(open=open, port=port):
                rendering = kube.objects(
                    kube.render(f"networkPolicy.gatewayPortsOpen={json.dumps(open)}", f"ingest.port={port}")
                )
                [policy] = [it["spec"] for it in rendering if it["metadata"]["name"] == "picker-ingest" and it["kind"] == "NetworkPolicy"]
                scraper = next(it for it in rendering if it["kind"] == "Deployment")
                ours, *others = policy["ingress"]
                self.assertEqual(ports(ours), {("TCP", port, port)})
                [peer] = ours["from"]
                self.assertEqual(peer["podSelector"]["matchLabels"], scraper["spec"]["selector"]["matchLabels"])
                self.assertEqual(
                    peer["namespaceSelector"]["matchLabels"], {"kubernetes.io/metadata.name": scraper["metadata"]["namespace"]}
                )
                opened = {
                    number
                    for rule in others
                    for protocol, first, last in ports(rule)
                    if protocol == "TCP"
                    for number in range(first, last + 1)
                }
                self.assertEqual(opened, set(range(1, 65536)) - {port} if open else set())

    def test_only_prometheus_and_the_test_reach_the_scrapers_pages(self):
        """The pages have no authentication. With nothing else said, no pod of the release's own namespace but that of helm test."""
        rendering = kube.objects(kube.render('networkPolicy.monitoringNamespaces=["monitoring"]'))
        [policy] = [it["spec"] for it in rendering if it["kind"] == "NetworkPolicy" and it["metadata"]["namespace"] == "llm-picker"]
        [rule] = policy["ingress"]
        ours, monitoring = rule["from"]
        self.assertEqual(monitoring, {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}})
        self.assertEqual(list(ours), ["podSelector"])
        wanted = ours["podSelector"]["matchLabels"].items()
        pods = {
            it["kind"]: it["metadata"]["labels"] if it["kind"] == "Pod" else it["spec"]["template"]["metadata"]["labels"]
            for it in rendering if it["kind"] in ("Pod", "Job", "Deployment")
        }
        self.assertEqual([kind for kind, labels in pods.items() if wanted <= labels.items()], ["Pod"])
        text = kube.run("helm", "install", "--dry-run=client", "picker", kube.CHART, "--set", "monitoring.enabled=true").stdout
        self.assertIn("networkPolicy.monitoringNamespaces", text)

    def test_gateways_that_fetch_take_no_connection(self):
        for way in WAYS:
            with self.subTest(way=way):
                rendering = kube.objects(kube.render(f'picker.way="{way}"', *APART))
                text = json.dumps(rendering)
                self.assertNotIn("15810", text)
                self.assertNotIn('"ingest', text)
                config = plugin_configuration(rendering)
                self.assertEqual(
                    config["pull"], {"cluster": "outbound|9091||picker-scraper.llm-picker.svc.cluster.local"}
                )
                self.assertIn("http://picker-scraper.llm-picker.svc.cluster.local:9091/plugin.wasm", text)
                [policy] = [it["spec"] for it in rendering if it["kind"] == "NetworkPolicy"]
                self.assertIn("istio-ingress", json.dumps(policy))

    def test_it_puts_the_same_into_envoy_as_the_manifests(self):
        for way, folder in SAME.items():
            with self.subTest(way=way):
                chart = envoy_specs(kube.objects(kube.render(f'picker.way="{way}"')))
                plain = envoy_specs(kube.objects(kube.run("kubectl", "kustomize", kube.ROOT / "envoy/istio" / folder)))
                self.assertEqual(chart, plain)

    def test_no_header_is_trusted_that_nobody_says_is_set(self):
        """On a plain Gateway a trusted header is the client's own word, and makes it as many clients as it likes."""
        for settings, rendering in renderings():
            with self.subTest(settings=settings):
                self.assertEqual(plugin_configuration(rendering)["identity"]["trusted"], [])
        said = kube.objects(kube.render('picker.identity.trusted=["x-team"]'))
        self.assertEqual(plugin_configuration(said)["identity"]["trusted"], ["x-team"])
        openshift = (kube.ROOT / "docs/openshift.md").read_text()
        self.assertIn("--set 'picker.identity.trusted={x-gateway-inference-fairness-id}'", openshift)

    def test_without_the_plugin_no_client_steers(self):
        """With FAIL_OPEN requests pass a plugin that is missing or dead: the first filter takes the same headers away."""
        source = (kube.ROOT / "wire/src/config/steering.rs").read_text()
        words = re.findall(r'^    "([a-z0-9-]+)",$', source[: source.index("];")], re.MULTILINE)
        self.assertGreater(len(words), 10)
        for way in WAYS[:2]:
            with self.subTest(way=way):
                self.assertEqual(stripped(f'picker.way="{way}"'), {"x-gateway-destination-endpoint", *words})
                trusted = 'picker.identity.trusted=["X-VLLM-Priority", "x-gateway-inference-fairness-id"]'
                left = {"x-gateway-destination-endpoint", *words} - {"x-vllm-priority"}
                self.assertEqual(stripped(f'picker.way="{way}"', trusted), left)
        self.assertEqual(stripped('picker.mode="observe"'), set())

    def test_a_share_is_told_to_the_plugin(self):
        for way in SAME:
            for share in 1, 0.5:
                with self.subTest(way=way, share=share):
                    said = kube.render(f'picker.way="{way}"', f"picker.gatewayShare={share}").stdout
                    self.assertIs("gatewayShare" in said and "0.5" in said, share == 0.5)

    def test_containers_ask_of_their_image_what_it_has(self):
        """The image has the static program and nothing else: no shell, so that a container only says arguments."""
        found = []
        for instance in kube.objects(kube.render()):
            spec = instance.get("spec", {})
            pod = spec if instance["kind"] == "Pod" else spec.get("template", {}).get("spec", {})
            for container in pod.get("containers", []):
                found.append(instance["kind"])
                self.assertNotIn("command", container)
                if instance["kind"] == "Pod":
                    self.assertEqual(container["args"], ["ready", "picker-scraper.llm-picker.svc:9091"])
                    # A name of the cluster's, which is unknown here: it answers in its own words.
                    asked = subprocess.run(
                        [kube.ROOT / "dist/llm-scraper", container["args"][0], "127.0.0.1:1"],
                        capture_output=True, text=True, check=False,
                    )
                    self.assertEqual(asked.stderr.strip(), "llm-scraper: 127.0.0.1:1 is not ready: connection refused")
        self.assertEqual(sorted(found), ["Deployment", "Job", "Pod"])

    def test_containers_are_as_restricted_v2_wants_them(self):
        for instance in kube.objects(kube.render()):
            spec = instance["spec"]["template"]["spec"] if instance["kind"] in ("Deployment", "Job") else instance.get("spec", {})
            for container in spec.get("containers", []) if isinstance(spec, dict) else []:
                context = container["securityContext"]
                self.assertNotIn("runAsUser", context)
                self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
                self.assertTrue(context["runAsNonRoot"] and context["readOnlyRootFilesystem"])
                self.assertFalse(context["allowPrivilegeEscalation"])


@functools.cache
def renderings():
    """Every combination of the matrix, and what the chart makes of it."""
    combinations = [list(itertools.chain(*settings)) for settings in itertools.product(*MATRIX)]
    return [(settings, kube.objects(kube.render(*settings))) for settings in combinations]


def stripped(*settings):
    """The headers that are removed before any other filter."""
    rendering = kube.objects(kube.render(*settings))
    patches = [it for filters in rendering if filters["kind"] == "EnvoyFilter" for it in filters["spec"]["configPatches"]]
    first = [it["patch"]["value"] for it in patches if it["patch"]["operation"] == "INSERT_FIRST"]
    return {it["remove"] for value in first for it in value["typed_config"]["mutations"]["request_mutations"]}


def scraper_file(rendering):
    [file] = [it["data"]["scraper.yaml"] for it in rendering if "scraper.yaml" in it.get("data", {})]
    return file


def plugin_configuration(rendering):
    """What the picker is told, by whichever way."""
    for it in rendering:
        if it["kind"] == "WasmPlugin":
            return it["spec"]["pluginConfig"]
        if it["kind"] == "EnvoyFilter" and it["metadata"]["name"] == "picker":
            config = it["spec"]["configPatches"][0]["patch"]["value"]["typed_config"]["config"]
            return json.loads(config["configuration"]["value"])
    raise AssertionError("there is no picker")


def scraper(folder, *arguments):
    return subprocess.run(
        [kube.ROOT / "dist/llm-scraper", *arguments],
        cwd=folder,
        env=os.environ | {"LLM_PICKER_SECRET": "only for this test"},
        capture_output=True,
        text=True,
        check=False,
    )


def check_settings(file):
    """What the scraper says to this configuration file."""
    with tempfile.TemporaryDirectory() as folder:
        # Where its image has it.
        file = file.replace("/usr/local/share/llm-picker", str(kube.ROOT / "dist"))
        # Where its pod has it.
        file = file.replace("/etc/llm-scraper-secret/", "")
        pathlib.Path(folder, "secret").write_text("only for this test\n")
        pathlib.Path(folder, "scraper.yaml").write_text(file)
        return scraper(folder, "--config", "scraper.yaml", "--check")


def check_plugin(config):
    """What the plugin would say to its configuration: the scraper explains a request by it, for pods that it cannot reach."""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "picker.json").write_text(json.dumps(config))
        pathlib.Path(folder, "body.json").write_text('{"model": "qwen", "prompt": "hello"}')
        where = ["--endpoint", "127.0.0.1:1", "--pool", config["pools"][0]["name"]]
        return scraper(folder, *where, "explain", "body.json", "--picker", "picker.json", "--path", "/v1/completions")


def rules(roles):
    """The rules of these roles, as text that can be compared."""
    return sorted(json.dumps(rule, sort_keys=True) for role in roles for rule in role["rules"])


def envoy_specs(objects):
    """The specs of all EnvoyFilters, without the plugins' own configuration and comments' worth of names."""
    specs = [it["spec"] for it in objects if it["kind"] == "EnvoyFilter"]
    return sorted(json.dumps(without_configuration(spec), sort_keys=True) for spec in specs)


def without_configuration(value):
    if isinstance(value, dict):
        text = value.get("value")
        if isinstance(text, str) and "EndpointPickerConfig" in text:
            return "a picker's configuration"
        return {key: without_configuration(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [without_configuration(entry) for entry in value]
    return value


if __name__ == "__main__":
    unittest.main()
