"""Whole studies, each in a folder with what it alone needs: nothing before it imports it."""
