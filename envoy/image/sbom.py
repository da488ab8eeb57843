"""Writes what a program is made of, from `cargo metadata` on standard input, as CycloneDX 1.5 JSON.

Only what is linked into the package and its target counts: no build scripts' and no tests' dependencies.
"""

import json
import sys


def linked(metadata, name):
    """The packages that end up in the one of this name, itself first."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = next(id for id in packages if packages[id]["name"] == name and id in metadata["workspace_members"])
    found, waiting = {}, [root]
    while waiting:
        id = waiting.pop()
        if id in found:
            continue
        uses = [
            dependency["pkg"]
            for dependency in nodes[id]["deps"]
            if any(kind["kind"] is None for kind in dependency["dep_kinds"])
        ]
        found[id] = uses
        waiting += uses
    return root, {id: (packages[id], uses) for id, uses in found.items()}


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package):
    said = {"type": "library", "name": package["name"], "version": package["version"]}
    said["bom-ref"] = said["purl"] = reference(package)
    if package.get("license"):
        said["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    return said


def main(name, product):
    root, found = linked(json.load(sys.stdin), name)
    packages = sorted((package for package, _ in found.values()), key=reference)
    top = component(found[root][0]) | {"type": "application", "name": product}
    dependencies = [
        {"ref": reference(package), "dependsOn": sorted(reference(found[use][0]) for use in uses)}
        for package, uses in found.values()
    ]
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": top},
        "components": [component(package) for package in packages if package["id"] != root],
        "dependencies": sorted(dependencies, key=lambda entry: entry["ref"]),
    }
    json.dump(bom, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
