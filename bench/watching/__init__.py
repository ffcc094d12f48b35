"""What a user sees while runs train: progress, time left, machine load, TensorBoard."""
