"""The kustomizations in envoy/istio/."""

import unittest

import kube
import schemas

FOLDER = kube.ROOT / "envoy/istio"
WAYS = sorted(path.parent.name for path in FOLDER.glob("*/kustomization.yaml"))


class Manifests(unittest.TestCase):
    def test_a_cluster_takes_them(self):
        self.assertGreaterEqual(len(WAYS), 5)
        for way in WAYS:
            for instance in kube.objects(kube.run("kubectl", "kustomize", FOLDER / way)):
                with self.subTest(way=way, kind=instance["kind"], name=instance["metadata"]["name"]):
                    schemas.check(instance)

    def test_a_cluster_would_refuse_a_slip(self):
        """So that the test above can fail."""
        plugin = next(
            instance
            for instance in kube.objects(kube.run("kubectl", "kustomize", FOLDER / "wasmplugin"))
            if instance["kind"] == "WasmPlugin"
        )
        for slip in ({"phase": "LAST"}, {"imagePulPolicy": "Always"}, {"url": 1}):
            with self.assertRaises(Exception, msg=slip):
                schemas.check(plugin | {"spec": plugin["spec"] | slip})


if __name__ == "__main__":
    unittest.main()
