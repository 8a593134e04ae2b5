"""What a conversation is remembered by: assembled prompts, summaries, the background that folds turns."""
