"""A Prometheus of a test: Debian's, on a port and in a folder of its own, scraping one gateway every second."""
from __future__ import annotations

import json
import pathlib
import subprocess
import urllib.parse
import urllib.request

from .gateway import ADMIN_KEY, ROOT, free_port, wait_port, wait_until


class Prometheus:
    def __init__(self, folder: pathlib.Path, target: int):
        self.port = free_port()
        (folder / "key").write_text(ADMIN_KEY)
        rules = ROOT / "deploy" / "prometheus"
        config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                  "rule_files": [str(rules / "ballast.rules.yaml"), str(rules / "ballast-jobs.rules.yaml")],
                  "scrape_configs": [{"job_name": "ballast", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}],
                                      "authorization": {"credentials_file": str(folder / "key")}}]}
        (folder / "prometheus.json").write_text(json.dumps(config))
        log = folder / "prometheus.log"
        with open(log, "wb") as out:
            self.process = subprocess.Popen(["prometheus", f"--config.file={folder}/prometheus.json", f"--storage.tsdb.path={folder}/tsdb",
                                             f"--web.listen-address=127.0.0.1:{self.port}", "--enable-feature=exemplar-storage"],
                                            stdout=out, stderr=subprocess.STDOUT, cwd=folder)
        wait_port(self.port, self.process, log)
        wait_until(lambda: self.ready())

    def ready(self) -> bool:
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5).status == 200
        except OSError:
            return False

    def api(self, path: str, **query):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?" + urllib.parse.urlencode(query)
        try:
            with urllib.request.urlopen(url, timeout=30) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as e:
            raise AssertionError(f"{query}: {e.read().decode()}") from e

    def query(self, expression: str) -> list:
        return self.api("query", query=expression)["result"]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)
