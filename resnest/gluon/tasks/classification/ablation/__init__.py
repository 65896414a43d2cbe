"""Ablations: many training runs that differ in a few options each."""
