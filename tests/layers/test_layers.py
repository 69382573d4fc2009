"""The layers hold: what a layer must not see does not compile there, and foreign libraries stay in their folder.

Usage: test_layers.py SOURCE_DIR BUILD_DIR COMPILER [CFLAG...]

The table below says what DESIGN's arrows say, apart from the build files it checks.
"""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# layer: (folder, all it may see beside itself)
LAYERS = {
    "base": ("base", set()),
    "protocol": ("protocol", {"base"}),
    "client": ("client", {"base", "protocol"}),
    "lease": ("coordinator/lease", {"base", "protocol"}),
    "store": ("coordinator/store", {"base", "protocol", "lease"}),
    "service": ("coordinator/service", {"base", "protocol", "lease", "store"}),
    "http": ("coordinator/http", {"base", "protocol", "lease", "store", "service"}),
    "rpc": ("coordinator/rpc", {"base", "protocol", "lease", "store", "service"}),
    "transfer": ("coordinator/transfer", {"base", "protocol", "lease", "store", "service"}),
    "coordinator": (
        "coordinator",
        {"base", "protocol", "client", "lease", "store", "service", "http", "rpc", "transfer"},
    ),
    "agent": ("agent", {"base", "protocol", "client"}),
}

# foreign headers: the folders that may include them
FOREIGN = {
    r"microhttpd\.h": ["coordinator/http"],
    r"sqlite3\.h": ["coordinator/store"],
    r"libpq-fe\.h": ["coordinator/store"],
    r"(nng|mbedtls)/.*": ["client", "coordinator/rpc"],
    r"git2(\.h|/.*)": ["agent"],
    r"openssl/.*": ["coordinator/service"],
    r"curl/.*": ["agent"],
}
SOURCE_FOLDERS = ["base", "protocol", "client", "coordinator", "agent"]
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def headers_of(source, layer):
    """The headers in a layer's folder, as they are included; not those of the layers inside it."""
    folder = source / LAYERS[layer][0]
    inner = [source / f for name, (f, _) in LAYERS.items() if name != layer]
    found = [h for h in folder.rglob("*.h") if not any(i in h.parents for i in inner if folder in i.parents)]
    return [f"{layer}/{h.relative_to(folder)}" for h in sorted(found)]


def compiles(build, compiler, layer, header):
    command = [*compiler, "-std=c17", "-D_GNU_SOURCE", f"-I{build}/include/{layer}", "-fsyntax-only", "-x", "c", "-"]
    # Twice: a header must stand alone and bear repetition.
    code = f'#include "{header}"\n#include "{header}"\n'
    # Standard input counts as a file of the working directory, where quoted includes are looked for first.
    nothing_there = build / "include"
    result = subprocess.run(command, input=code, capture_output=True, text=True, check=False, cwd=nothing_there)
    return result.returncode == 0, result.stderr


def check_visibility(source, build, compiler):
    built = [layer for layer in LAYERS if (build / "include" / layer).is_dir()]
    cases = []
    for layer in built:
        for other in built:
            headers = headers_of(source, other)
            if other == layer or other in LAYERS[layer][1]:
                cases += [(layer, h, True) for h in headers]
            else:
                cases += [(layer, h, False) for h in headers[:1]]
    problems = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        results = pool.map(lambda c: compiles(build, compiler, c[0], c[1]), cases)
        for (layer, header, allowed), (ok, errors) in zip(cases, results, strict=True):
            if allowed and not ok:
                problems.append(f'{layer} cannot include "{header}":\n{errors}')
            elif not allowed and (ok or f"{header}: No such file" not in errors and "file not found" not in errors):
                problems.append(f'{layer} must not see "{header}", yet including it says: {errors or "fine"}')
    return len(cases), problems


def check_foreign(source):
    problems = []
    count = 0
    for folder in SOURCE_FOLDERS:
        for path in sorted((source / folder).rglob("*.[ch]")):
            name = path.relative_to(source).as_posix()
            for included in INCLUDE.findall(path.read_text(encoding="utf-8")):
                count += 1
                if included.startswith("../") or "/../" in included:
                    problems.append(f"{name} includes {included}: paths start at the layers' root")
                for pattern, allowed in FOREIGN.items():
                    if re.fullmatch(pattern, included) and not any(name.startswith(f"{a}/") for a in allowed):
                        problems.append(f"{name} includes <{included}>, which is for {' and '.join(allowed)} alone")
    return count, problems


def main():
    source, build, compiler = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), sys.argv[3:]
    snippets, problems = check_visibility(source, build, compiler)
    includes, foreign_problems = check_foreign(source)
    problems += foreign_problems
    for problem in problems:
        print(problem)
    print(f"{snippets} snippets, {includes} includes, {len(problems)} problems")
    return 1 if problems or snippets == 0 or includes == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
