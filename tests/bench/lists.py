#!/usr/bin/env python3
"""listStacks of ten stacks beside nginx serving the same bytes from memory."""

import re
import subprocess
import urllib.request

import bench


def wrk(url, *headers):
    argv = ["wrk", "-t1", "-c64", f"-d{bench.SECONDS:.0f}s"]
    for header in headers:
        argv += ["-H", header]
    done = subprocess.run([*argv, url], check=True, capture_output=True, text=True)
    if "Non-2xx" in done.stdout:
        raise SystemExit(done.stdout)
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout).group(1))


def nginx(body):
    port = bench.free_port()
    with bench.folder() as where:
        text = body.replace("\\", "\\\\").replace("'", "\\'")
        (where / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; pid {where}/pid; error_log {where}/error; "
            "events { worker_connections 1024; } "
            f"http {{ access_log off; keepalive_requests 1000000000; server {{ listen 127.0.0.1:{port}; "
            f"location / {{ default_type application/json; return 200 '{text}'; }} }} }}"
        )
        with bench.process("nginx", "-p", where, "-c", where / "nginx.conf", "-e", where / "error") as p:
            bench.wait_for_port(port, p)
            return wrk(f"http://127.0.0.1:{port}/listStacks")


def main():
    with bench.coordinator() as c:
        key = c.project("bench")
        url = f"http://{c.host}:{c.port}"
        for n in range(10):
            request = urllib.request.Request(
                f"{url}/requestStack", data=b'{"branch":"feat/%d"}' % n, headers={"X-API-Key": key}
            )
            urllib.request.urlopen(request).read()
        listing = urllib.request.Request(f"{url}/listStacks", headers={"X-API-Key": key})
        body = urllib.request.urlopen(listing).read().decode()
        ours = wrk(f"{url}/listStacks", f"X-API-Key: {key}")
    bench.row("listStacks of 10 stacks", ours, "nginx, same bytes", nginx(body), 0.7)


if __name__ == "__main__":
    main()
