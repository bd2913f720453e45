"""Scores files of predictions against a datalist, and compares reports."""
