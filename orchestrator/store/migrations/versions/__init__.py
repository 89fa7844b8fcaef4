"""Contains one module for each change of the schema. Their names begin with the revision."""
