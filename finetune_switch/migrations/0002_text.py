"""Tables of the full-text ranking, which no model knows of: each database has a kind of its own.

PostgreSQL: triggers instead of a foreign key. Django's ``flush`` empties the tables of managed
models in one TRUNCATE, and PostgreSQL refuses that where a table left out refers to one of them.
"""

from django.db import migrations

POSTGRESQL = """
CREATE TABLE finetune_switch_text (
    chunk_id bigint PRIMARY KEY,
    space_id bigint NOT NULL,
    site_id integer,
    locale_id integer,
    is_restricted boolean NOT NULL,
    words tsvector NOT NULL
);
-- Without a list of what is yet to be sorted in, which every search would have to read through.
CREATE INDEX finetune_switch_text_words ON finetune_switch_text USING gin (words)
WITH (fastupdate = off);

CREATE FUNCTION finetune_switch_text_delete() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM finetune_switch_text WHERE chunk_id IN (SELECT id FROM gone);
    RETURN NULL;
END
$$;
CREATE TRIGGER finetune_switch_text_delete AFTER DELETE ON finetune_switch_chunk
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION finetune_switch_text_delete();

CREATE FUNCTION finetune_switch_text_truncate() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    TRUNCATE finetune_switch_text;
    RETURN NULL;
END
$$;
CREATE TRIGGER finetune_switch_text_truncate AFTER TRUNCATE ON finetune_switch_chunk
FOR EACH STATEMENT EXECUTE FUNCTION finetune_switch_text_truncate();
"""

POSTGRESQL_REVERSED = """
DROP TRIGGER finetune_switch_text_truncate ON finetune_switch_chunk;
DROP TRIGGER finetune_switch_text_delete ON finetune_switch_chunk;
DROP FUNCTION finetune_switch_text_truncate();
DROP FUNCTION finetune_switch_text_delete();
DROP TABLE finetune_switch_text;
"""

# Words come to it stemmed; what is left is to leave accents out.
SQLITE = """
CREATE VIRTUAL TABLE finetune_switch_text
USING fts5(title, text, tokenize = "unicode61 remove_diacritics 2")
"""
SQLITE_REVERSED = "DROP TABLE IF EXISTS finetune_switch_text"


def has_fts5(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'")
        return cursor.fetchone() is not None


def make(apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor == "postgresql":
        schema_editor.execute(POSTGRESQL, params=None)
    elif connection.vendor == "sqlite" and has_fts5(connection):
        schema_editor.execute(SQLITE, params=None)


def drop(apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor == "postgresql":
        schema_editor.execute(POSTGRESQL_REVERSED, params=None)
    elif connection.vendor == "sqlite" and has_fts5(connection):
        schema_editor.execute(SQLITE_REVERSED, params=None)


class Migration(migrations.Migration):

    dependencies = [
        ('finetune_switch', '0001_initial'),
    ]

    operations = [
        migrations.RunPython(make, drop),
    ]
