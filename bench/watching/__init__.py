"""What a user sees while runs go on: progress, time left, machine load, TensorBoard."""
