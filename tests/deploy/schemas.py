"""What a cluster would say to an object: Kubernetes' own schemas, and those of the custom resources in crds/."""

import json
import pathlib

import jsonschema
import kubernetes_validate

KUBERNETES = "1.33"
CRDS = pathlib.Path(__file__).parent / "crds"

# No schema of these is at hand. Rules and dashboards have tests of their own.
UNKNOWN = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "PersesDashboard"}


def strict(schema):
    """The same schema, but for unknown fields: a cluster drops them in silence, here they are errors."""
    if isinstance(schema, list):
        return [strict(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not open_ended:
        closed.setdefault("additionalProperties", False)
    return closed


def custom(instance):
    group, version = instance["apiVersion"].split("/")
    file = CRDS / f"{instance['kind']}_{group}_{version}.json"
    if not file.exists():
        raise AssertionError(f"no schema of {instance['kind']} in {instance['apiVersion']}")
    schema = strict(json.loads(file.read_text()))
    # Kubernetes knows these itself.
    schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}}
    for error in jsonschema.Draft7Validator(schema).iter_errors(instance):
        raise AssertionError(f"{'/'.join(map(str, error.absolute_path))}: {error.message}")


def check(instance):
    """Raises where a cluster would refuse the object, or drop a part of it."""
    if not instance.get("metadata", {}).get("name"):
        raise AssertionError(f"an object without a name: {instance}")
    if instance["kind"] in UNKNOWN:
        return
    group = instance["apiVersion"].rpartition("/")[0]
    if "." in group and not group.endswith(".k8s.io") or "inference" in group:
        custom(instance)
    else:
        kubernetes_validate.validate(instance, KUBERNETES, strict=True)
