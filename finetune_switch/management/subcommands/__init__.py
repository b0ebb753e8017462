"""The subcommands of ``manage.py finetune_switch``, grouped into modules."""
