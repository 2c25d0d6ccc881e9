"""XSD: the documents are read, compiled by two engines, and refusals put into words. docs/decisions/schemas.md."""
