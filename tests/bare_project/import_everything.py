"""Import every module of the plugin but the adapter's, and print what that came to as JSON."""

import importlib
import json
import os
import pkgutil
import sys
from importlib.util import find_spec

import django

ADAPTER = "finetune_switch.vector_index"
# It needs the extra "postgres".
PGVECTOR_STORE = "finetune_switch.index.stores.pgvector"

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bare.settings")
    django.setup()
    import finetune_switch

    names = [
        module.name
        for module in pkgutil.walk_packages(
            finetune_switch.__path__, "finetune_switch.", onerror=lambda name: None
        )
        if module.name != ADAPTER and not module.name.startswith(f"{ADAPTER}.")
        if module.name != PGVECTOR_STORE or find_spec("pgvector") is not None
    ]
    for name in names:
        importlib.import_module(name)
    json.dump(
        {"file": finetune_switch.__file__, "names": names, "all": sorted(sys.modules)}, sys.stdout
    )
