"""Keeping stores whole: what is wrong with one, and carrying runs and models from one to another."""
