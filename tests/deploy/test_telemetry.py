"""The decisions in access logs and spans: the same words in the chart as in the bootstraps of envoy/local/."""

import pathlib
import unittest

import kube
import schemas
import yaml

LOCAL = kube.ROOT / "envoy" / "local"


def connection_manager(bootstrap):
    listener = bootstrap["static_resources"]["listeners"][0]
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def local(path):
    return connection_manager(yaml.safe_load(pathlib.Path(path).read_text()))


def telemetry(*settings):
    found = [it for it in kube.objects(kube.render(*settings)) if it["metadata"]["name"].endswith("-telemetry")]
    for it in found:
        schemas.check(it)
    return found


class Telemetry(unittest.TestCase):
    def test_all_bootstraps_tell_the_same(self):
        of = [local(path) for path in sorted(LOCAL.glob("*.yaml"))]
        self.assertEqual(len(of), 5)
        for one in of:
            self.assertEqual((one["access_log"], one["tracing"]), (of[0]["access_log"], of[0]["tracing"]))

    def test_the_chart_tells_the_same_where_it_is_asked_to(self):
        [found] = telemetry("picker.attributes=true", "picker.accessLog=true", 'gateway.istio="1.29"')
        patch = found["spec"]["configPatches"][0]["patch"]["value"]["typed_config"]
        bootstrap = local(LOCAL / "stop-iteration-header.yaml")
        form = lambda it: it["access_log"][0]["typed_config"]["log_format"]
        self.assertEqual(form(patch), form(bootstrap))
        self.assertEqual(patch["tracing"], bootstrap["tracing"])

    def test_an_istio_that_knows_no_such_tags_gets_none(self):
        [found] = telemetry("picker.attributes=true", "picker.accessLog=true", 'gateway.istio="1.28"')
        self.assertNotIn("tracing", found["spec"]["configPatches"][0]["patch"]["value"]["typed_config"])
        self.assertEqual(telemetry("picker.attributes=true", 'gateway.istio="1.28"'), [])

    def test_by_default_there_is_nothing(self):
        self.assertEqual(telemetry(), [])

    def test_the_plugin_is_asked_for_attributes(self):
        for wanted in (True, False):
            text = yaml.safe_dump_all(kube.objects(kube.render(f"picker.attributes={str(wanted).lower()}")))
            self.assertEqual("attributes" in text, wanted)


if __name__ == "__main__":
    unittest.main()
