"""The pure core: values in, values out. No files, network, clock, random or logging here."""
