"""Is this machine fit for a sweep, and how far can its joules be trusted?"""
