"""`python storage LIBRARY SECTION` tries a section's cases in order and tells each on a line of its own."""

import importlib
import json
import sys

SECTIONS = importlib.import_module(sys.argv[1]).SECTIONS

for name, case in SECTIONS[sys.argv[2]]:
    reason, note = None, ""
    try:
        note = case() or ""
    except Exception as e:  # whatever a case ends with is what it has to tell
        reason = f"{type(e).__name__}: {e}"
    print(json.dumps({"case": name, "error": reason, "note": note}), flush=True)
