#!/bin/sh
# Prints the path of a Python that can make the virtual environment, or says in one sentence what is missing.
# PYTHON=/path/to/python make ... chooses one by hand.
works() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null
}

if [ -n "${PYTHON:-}" ]; then
    if works "$PYTHON"; then
        "$PYTHON" -c 'import sys; print(sys.executable)'
        exit 0
    fi
    echo "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13 with the venv module." >&2
    exit 1
fi
for name in python3 python3.13 python3.12 python3.11 python /usr/bin/python3; do
    if works "$name"; then
        "$name" -c 'import sys; print(sys.executable)'
        exit 0
    fi
done
echo "No Python 3.11, 3.12 or 3.13 with the venv module was found: install one (Debian: apt-get install python3 python3-venv) or name it with PYTHON=/path/to/python3." >&2
exit 1
