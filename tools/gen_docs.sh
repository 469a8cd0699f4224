#!/usr/bin/env bash
# Writes what the binary knows about itself into docs/: the configuration's schema and the API reference.
set -euo pipefail
cd "$(dirname "$0")/.."
ballast=${BALLAST_BIN:-build/release/src/ballast}
"$ballast" check --schema >docs/ballast.schema.json
"$ballast" check --schema | python3 tools/gen_config_docs.py >docs/configuration.md
python3 tools/gen_api_docs.py --ballast "$ballast" >docs/api.md
echo "docs: the schema, docs/configuration.md and docs/api.md are up to date"
