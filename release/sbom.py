#!/usr/bin/env python3
"""What the static agents are made of and with, as SPDX 2.3: sbom.py WORK OUT ARCH…

Reads what was really fetched (WORK/packages.txt), not what was asked for. The same agents give the same bytes.
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.parse
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[1]
LICENSES = {
    "curl": "curl",
    "http-parser": "MIT",
    "jansson": "MIT",
    "libgit2": "GPL-2.0-only WITH GCC-exception-2.0",
    "mbedtls": "Apache-2.0 OR GPL-2.0-or-later",
    "musl-dev": "MIT",
    "nng": "MIT",
    "zlib": "Zlib",
    "certifi": "MPL-2.0",
}


def spdx_id(*words):
    return "SPDXRef-" + "-".join(re.sub(r"[^A-Za-z0-9.]+", "-", word) for word in words)


def package(name, version, purl, checksum=None):
    about = {
        "SPDXID": spdx_id(name, version),
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": LICENSES.get(name, "NOASSERTION"),
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl},
        ],
    }
    if checksum is not None:
        about["checksums"] = [{"algorithm": "SHA256", "checksumValue": checksum}]
    return about


def debian_packages(work):
    for row in (work / "packages.txt").read_text().splitlines():
        kind, name, suite, version, checksum = row.split()
        name, _, architecture = name.partition(":")
        quoted = urllib.parse.quote(version, safe=".~:")
        purl = f"pkg:deb/debian/{name}@{quoted}?arch={architecture or kind}&distro={suite}"
        yield dict(package(name, version, purl, checksum), SPDXID=spdx_id(name, version, architecture or kind))


def trusted_roots():
    text = (ROOT / "release" / "requirements.txt").read_text()
    version, checksum = re.search(r"^certifi==(\S+) --hash=sha256:(\S+)", text, re.M).groups()
    return package("certifi", version, f"pkg:pypi/certifi@{version}", checksum)


def compilers(architectures):
    for architecture in architectures:
        command = [f"{architecture}-linux-gnu-gcc", "--version"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0]
        name, version = said.split(" ", 1)
        yield package(name, version, f"pkg:generic/{name}@{urllib.parse.quote(version)}")


def agent_files(out, architectures):
    for architecture in architectures:
        name = f"linux-{architecture}/stack-agent"
        content = (out / name).read_bytes()
        yield {
            "SPDXID": spdx_id("file", architecture),
            "fileName": f"./{name}",
            "checksums": [
                {"algorithm": kind, "checksumValue": hashlib.new(kind, content).hexdigest()}
                for kind in ("SHA1", "SHA256")
            ],
            "licenseConcluded": "NOASSERTION",
            "copyrightText": "NOASSERTION",
        }


def relation(one, kind, other):
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def main():
    work, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    architectures = sys.argv[3:]
    version = re.search(r"VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text().split("project(")[1]).group(1)
    agent = package("stack-agent", version, f"pkg:generic/stack-agent@{version}")
    agent["licenseDeclared"] = "MIT"
    parts, tools = [*debian_packages(work), trusted_roots()], list(compilers(architectures))
    files = list(agent_files(out, architectures))
    relations = [relation("SPDXRef-DOCUMENT", "DESCRIBES", agent["SPDXID"])]
    relations += [relation(agent["SPDXID"], "CONTAINS", file["SPDXID"]) for file in files]
    relations += [relation(agent["SPDXID"], "STATIC_LINK", part["SPDXID"]) for part in parts]
    relations += [relation(tool["SPDXID"], "BUILD_TOOL_OF", agent["SPDXID"]) for tool in tools]
    created = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.UTC)
    unique = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps([files, parts]))
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"stack-agent-{version}",
        "documentNamespace": f"urn:uuid:{unique}",
        "creationInfo": {
            "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: stack-orchestrator-release-sbom"],
        },
        "packages": [agent, *parts, *tools],
        "files": files,
        "relationships": relations,
    }
    json.dump(document, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
