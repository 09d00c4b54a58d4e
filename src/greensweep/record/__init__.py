"""What a run of any program measures, reports and leaves."""
