"""The subcommand index."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandError
from django.utils.text import capfirst
from tqdm import tqdm

from finetune_switch import adapters
from finetune_switch.access.visibility import page_model
from finetune_switch.answers.costs import embedding_cost
from finetune_switch.backends.embeddings import get_embedder
from finetune_switch.connections import get_connection
from finetune_switch.exceptions import BackendError, IndexBusy
from finetune_switch.index.building import run_build, update_objects
from finetune_switch.index.builds import start_build
from finetune_switch.index.missed import mark_different
from finetune_switch.index.overview import MissingText, missing_texts
from finetune_switch.index.sources import Sources
from finetune_switch.index.stores import get_store
from finetune_switch.index.writing import chunks_of, text_of
from finetune_switch.models import IndexBuild
from finetune_switch.models.index import active_space
from finetune_switch.search.retrieval import OWN_INDEX

from .base import Subcommand


class IndexCommand(Subcommand):
    name = "index"
    help = "Build the index of every live page. Safe to repeat: it resumes where it stopped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--changed",
            action="store_true",
            help="Index only pages that changed since they were indexed.",
        )
        parser.add_argument(
            "--verify",
            action="store_true",
            help="Compare all texts with the index, without embedding, and index what differs. "
            "Finds changes without a date, such as those of queryset.update().",
        )
        parser.add_argument("--page", type=int, metavar="ID", help="Index only this page.")
        parser.add_argument(
            "--index", metavar="ALIAS", help="Rebuild this index instead of the site's own."
        )
        parser.add_argument(
            "--hnsw",
            choices=["make", "drop"],
            help="Only create or drop PostgreSQL's HNSW index. A build creates it if missing.",
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="Show what would be indexed, where texts would be sent, and what that would cost.",
        )

    def handle(self, options: dict[str, Any]) -> int:
        try:
            if options["dry_run"]:
                return self._dry_run(options)
            if options["hnsw"]:
                return self._hnsw(options)
            if options["index"] not in (None, OWN_INDEX):
                return self._one_index(options)
            if options["page"] is not None:
                return self._one_page(options)
            if options["verify"]:
                return self._verify(options)
            return self._build(options)
        except BackendError as error:
            raise CommandError(f"{error} {error.remedy}".strip(), returncode=1) from error
        except IndexBusy as error:
            raise CommandError(str(error), returncode=1) from error

    def _build(self, options: dict[str, Any]) -> int:
        build = start_build(changed_only=options["changed"])
        quiet = options["json"] or options.get("verbosity", 1) == 0
        with tqdm(total=0, unit="page", file=self.stderr, disable=quiet) as bar:

            def update_bar(build: IndexBuild) -> None:
                bar.total = build.total
                bar.update(build.done - bar.n)

            run_build(build, update_bar)
        failed = build.status == IndexBuild.Status.FAILED
        counts = {name: getattr(build, name) for name in ("added", "kept", "removed", "failed")}
        if options["json"]:
            self.write_json({"status": build.status, **counts, "error": build.error})
        else:
            self._write_counts(counts)
            if failed:
                self.stderr.write(self.style.ERROR(build.error))
        return 1 if failed else 0

    def _verify(self, options: dict[str, Any]) -> int:
        space = active_space()
        if space is None:
            raise CommandError("Nothing is indexed yet. Run “index” first.", returncode=1)
        different = mark_different(space)
        if not options["json"]:
            self.stdout.write(f"{different} differ from the index.")
        return self._build({**options, "changed": True})

    def _one_page(self, options: dict[str, Any]) -> int:
        page = page_model()._default_manager.filter(pk=options["page"]).first()
        if page is None:
            raise CommandError(f"There is no page {options['page']}.", returncode=2)
        counts = vars(update_objects([(page.specific._meta.label_lower, str(page.pk))]))
        if options["json"]:
            self.write_json({"status": IndexBuild.Status.COMPLETE, **counts, "error": ""})
        else:
            self._write_counts(counts)
        return 0

    def _one_index(self, options: dict[str, Any]) -> int:
        alias, known = options["index"], adapters.indexes()
        index: Any = known.get(alias)
        if index is None:
            raise CommandError(
                f"There is no index {alias}. Available: {', '.join(sorted(known)) or 'none'}.",
                returncode=2,
            )
        if not hasattr(index, "rebuild"):
            raise CommandError(f"The index {alias} cannot be built by this command.", returncode=2)
        index.rebuild()
        if options["json"]:
            self.write_json({"status": IndexBuild.Status.COMPLETE, "index": alias, "error": ""})
        else:
            self.stdout.write(f"The index {alias} was built.")
        return 0

    def _hnsw(self, options: dict[str, Any]) -> int:
        store: Any = get_store()
        if not hasattr(store, "create_index"):
            raise CommandError(
                "The memory store has no HNSW index. Only PostgreSQL with the extension pgvector "
                "has one.",
                returncode=2,
            )
        space = active_space()
        if space is None:
            raise CommandError("Nothing is indexed yet. Run “index” first.", returncode=1)
        if options["hnsw"] == "drop":
            store.drop_index(space)
        else:
            store.create_index(space, concurrently=True)
        exists = store.has_index(space)
        if options["json"]:
            self.write_json({"hnsw": exists})
        elif exists:
            self.stdout.write("There is an HNSW index. Searches use it.")
        else:
            self.stdout.write("There is no HNSW index. Searches read every vector.")
        return 0

    def _write_counts(self, counts: dict[str, int]) -> None:
        self.stdout.write(
            f"{counts['added']} added or changed, {counts['kept']} kept, "
            f"{counts['removed']} removed, {counts['failed']} failed."
        )

    def _dry_run(self, options: dict[str, Any]) -> int:
        sources, embedder = Sources(), get_embedder()
        types: dict[str, int] = {}
        missing = missing_texts(model for model, _count in sources.types())
        private = chunks = tokens = 0
        for batch in sources.batches():
            for item in batch:
                name = str(capfirst(item.instance._meta.verbose_name_plural))
                types[name] = types.get(name, 0) + 1
                private += item.is_restricted
                for chunk in chunks_of(text_of(item.instance), embedder):
                    chunks += 1
                    tokens += embedder.count_tokens(chunk.embedded_text)
        destination: str = "nowhere (they are embedded in this process)"
        cost: float | None = 0.0
        if embedder.connection:
            connection = get_connection(embedder.connection)
            destination = connection.data_destination
            cost = embedding_cost(connection.provider, embedder.model_name, tokens)
        if options["json"]:
            self.write_json(
                {
                    "types": types,
                    "private": private,
                    "chunks": chunks,
                    "tokens": tokens,
                    "destination": destination,
                    "cost": cost,
                    "left_out": [
                        {
                            "model": text.model._meta.label,
                            "field": field.name,
                            "line": field.line,
                            "setting": field.setting,
                        }
                        for text in missing
                        for field in text.fields
                    ],
                }
            )
            return 0
        for name, count in sorted(types.items(), key=lambda entry: -entry[1]):
            self.stdout.write(f"{count:>8} {name}")
        total = sum(types.values())
        self.stdout.write(f"{total:>8} in total, in {chunks} chunks of text.")
        self.stdout.write(
            f"{private:>8} of them are private: only users who may open them find them."
        )
        self.stdout.write(f"{tokens:>8} tokens would be sent to: {destination}.")
        if cost:
            self.stdout.write(f"         That would cost US$ {cost:.4f} at litellm's prices.")
        elif cost is None:
            self.stdout.write("         litellm has no price for this model.")
        self.stdout.write("Text that is already indexed is not sent again.")
        self._write_missing(missing)
        return 0

    def _write_missing(self, missing: Iterable[MissingText]) -> None:
        for text in missing:
            label = text.model._meta.label
            self.stdout.write(f"\n{text.label} ({label}) have fields with text that are left out.")
            if lines := [field.line for field in text.fields if field.line]:
                self.stdout.write("Add these lines to the search_fields of the model:")
                self.stdout.write("\n".join(f"    {line}" for line in lines))
                self.stdout.write('or these to FINETUNE_SWITCH["INDEX"]["INCLUDE_FIELDS"]:')
            else:
                self.stdout.write('Add these lines to FINETUNE_SWITCH["INDEX"]["INCLUDE_FIELDS"]:')
            self.stdout.write("\n".join(f'    "{field.setting}",' for field in text.fields))
