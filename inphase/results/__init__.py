"""What one does with results, ours and those of other programs: compare, rank, convert, orthogonalise, show."""
