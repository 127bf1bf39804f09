"""What asv is taught: commits that run in place, and measurements that are handed over instead of taken anew."""
