"""From batches and a model to weights: objectives, schedules, the loop, what is saved and the run folder."""
