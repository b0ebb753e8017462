"""The verbs of ``manage.py finetune_switch``, one module each group."""
