"""The chart before it changes anything: it looks at the cluster, and fails where it would be refused or do harm."""

import json
import unittest

import cluster
import kube
import yaml

MODEL = {
    "name": "qwen", "namespace": "models", "backend": "inferencePool",
    "inferencePool": {"name": "qwen-inference-pool"}, "routes": ["models.route.0"],
}


def beside(epp):
    return f"models={json.dumps([MODEL | {'epp': epp}])}"


def filter_named(name):
    return cluster.owned(cluster.of("EnvoyFilter", name, "istio-ingress", spec={}))


class Preflight(unittest.TestCase):
    def test_a_cluster_with_what_is_needed_takes_it(self):
        self.assertTrue(kube.objects(cluster.render(cluster.BASE, [cluster.GATEWAY])))
        rendering = cluster.render(cluster.BASE | cluster.INFERENCE, [cluster.GATEWAY], beside("lookOn"))
        self.assertTrue(kube.objects(rendering))

    def test_what_is_missing_is_said(self):
        without = lambda version: {key: kinds for key, kinds in cluster.BASE.items() if key != version}
        for kinds, objects, settings, reason in [
            (without("networking.istio.io/v1alpha3"), [cluster.GATEWAY], [], "no networking.istio.io/v1alpha3/EnvoyFilter"),
            (without("extensions.istio.io/v1alpha1"), [cluster.GATEWAY], [], "no extensions.istio.io/v1alpha1/WasmPlugin"),
            (cluster.BASE, [cluster.GATEWAY], [beside("lookOn")], "no inference.networking.k8s.io/v1/InferencePool"),
            (cluster.BASE, [cluster.GATEWAY], ["monitoring.enabled=true"], "no monitoring.coreos.com/v1/PrometheusRule"),
            (cluster.BASE, [], [], "gateway.name: found inference-gateway; allowed: a Gateway that is there. Namespace istio-ingress has: none"),
            (cluster.BASE, [cluster.of("Gateway", "other", "istio-ingress")], [], "Namespace istio-ingress has: other"),
        ]:
            with self.subTest(reason=reason):
                result = cluster.render(kinds, objects, *settings)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(reason, result.stderr)

    def test_a_port_that_the_service_has_not_is_refused(self):
        service = cluster.of("Service", "qwen", "models", spec={"ports": [{"port": 80, "targetPort": 8000}, {"port": 9090}]})
        model = {"name": "qwen", "namespace": "models", "podLabels": {"app": "qwen"}}
        refused = "models[0].servicePort: found 8000; allowed: a port of Service models/qwen, which has: 80, 9090"
        for there, port, settings, reason in [
            ([service], None, [], refused),
            ([service], 80, [], None),
            ([], None, [], None),
            # The Service is the chart's own there, or no part of the release.
            ([service], None, ['picker.way="wasmPlugin"'], None),
            ([service], None, ["install.models=false"], None),
        ]:
            said = f"models={json.dumps([model | ({'servicePort': port} if port else {})])}"
            with self.subTest(there=there, port=port, settings=settings):
                kinds = cluster.BASE | {"networking.istio.io/v1": {"DestinationRule": "destinationrules"}}
                result = cluster.render(kinds, [cluster.GATEWAY, *there], said, *settings)
                if reason:
                    self.assertIn(reason, result.stderr)
                else:
                    self.assertEqual(result.returncode, 0, result.stderr)

    def test_no_step_beside_an_epp_is_skipped(self):
        kinds = cluster.BASE | cluster.INFERENCE
        pool, off = filter_named("picker-pool"), filter_named("picker-epp-off")
        first = "allowed: first a release with epp override"
        for there, epp, refused in [
            ([], "lookOn", None),
            ([], "override", None),
            ([], "off", first),
            ([pool], "lookOn", None),
            ([pool], "off", None),
            ([pool, off], "off", None),
            ([pool, off], "override", None),
            ([pool, off], "lookOn", first),
        ]:
            with self.subTest(there=[it["metadata"]["name"] for it in there], epp=epp):
                result = cluster.render(kinds, [cluster.GATEWAY, *there], beside(epp))
                if refused:
                    self.assertIn(refused, result.stderr)
                else:
                    self.assertEqual(result.returncode, 0, result.stderr)

    def test_a_secret_is_made_once_and_never_taken_over(self):
        def secret(namespace, text):
            return cluster.of("Secret", "llm-picker-ingest", namespace, data={"secret": text})

        def made(*there):
            rendering = kube.objects(cluster.render(cluster.BASE, [cluster.GATEWAY, *there]))
            return {it["metadata"]["namespace"]: it["data"]["secret"] for it in rendering if it["kind"] == "Secret"}

        first, second = made(), made()
        self.assertEqual(set(first), {"istio-ingress", "llm-picker"})
        self.assertNotEqual(first, second)
        # An upgrade: as it is.
        ours = [cluster.owned(secret(namespace, "b3Vycw==")) for namespace in ("istio-ingress", "llm-picker")]
        self.assertEqual(made(*ours), {"istio-ingress": "b3Vycw==", "llm-picker": "b3Vycw=="})
        # Somebody else's, in one place: the same in the other.
        self.assertEqual(made(secret("istio-ingress", "dGhlaXJz")), {"llm-picker": "dGhlaXJz"})
        self.assertEqual(made(secret("istio-ingress", "dGhlaXJz"), secret("llm-picker", "dGhlaXJz")), {})
        # Another release of this name.
        theirs = cluster.owned(secret("istio-ingress", "dGhlaXJz"), namespace="demo-llmd")
        self.assertEqual(made(theirs), {"llm-picker": "dGhlaXJz"})

    def test_a_service_account_that_is_there_is_left_alone(self):
        def made(there, **more):
            account = {"name": "caller", "namespace": "team-a", "priority": 100} | more
            rendering = cluster.render(cluster.BASE, [cluster.GATEWAY, *there], f"serviceAccounts={json.dumps([account])}")
            accounts = [it for it in kube.objects(rendering) if it["kind"] == "ServiceAccount"]
            return "team-a" in [it["metadata"]["namespace"] for it in accounts]

        theirs = cluster.of("ServiceAccount", "caller", "team-a")
        self.assertTrue(made([]))
        self.assertFalse(made([theirs]))
        self.assertFalse(made([], create=False))
        self.assertTrue(made([cluster.owned(theirs)]))


if __name__ == "__main__":
    unittest.main()
