"""The registry API of MLflow, at the root: its clients promote, and load `models:/NAME@production`, unchanged.

A client finds the face by `mlflow.set_registry_uri("https://registry.example")`. It tracks no runs.
"""
