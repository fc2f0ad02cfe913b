"""The exchange: constant-product pools of two assets in integers, rounded for the pool."""
