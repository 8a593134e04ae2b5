#!/bin/sh
# Builds both images for real and starts them, with no daemon and no registry; needs root. --help says more.
set -eu
cd "$(dirname "$0")/.."
for python in "${PYTHON:-}" .venv/bin/python python3.11 python3; do
  if [ -n "$python" ] && command -v "$python" >/dev/null; then
    exec "$python" -m deploy.check_images "$@"
  fi
done
echo "images: Python 3.11 is needed; say where it is: PYTHON=/path/to/python3.11" >&2
exit 1
