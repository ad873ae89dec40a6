"""Quotas: how much of the cluster a user, an index or a header may have; more is answered with 429."""

from headrace.security.quotas.admission import Admission, QuotaError, Quotas, bucket_of
from headrace.security.quotas.admitting import admit, admit_bulk, counts_documents
from headrace.security.quotas.rules import Quota, read_quotas

__all__ = [
    "Admission",
    "Quota",
    "QuotaError",
    "Quotas",
    "admit",
    "admit_bulk",
    "bucket_of",
    "counts_documents",
    "read_quotas",
]
