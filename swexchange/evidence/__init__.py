"""Evidence: the Merkle log over the audit log, grown, audited, shown, witnessed. docs/decisions/evidence.md."""
