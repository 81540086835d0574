"""The two services over HTTP: every failure leaves here as a class of `pd_sf_rules.errors`."""
