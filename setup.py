"""What setup.cfg cannot say: where the documentation of this build is.

Airflow's page of providers links the ``Documentation`` of each, and makes an address up where a package names none. Who
publishes a build names theirs in AIRFLOW_SKLEARN_DOCS_URL: the docs folder of their repository, for example. Else the
link leads nowhere.
"""

import os

from setuptools import setup

setup(project_urls={"Documentation": os.environ.get("AIRFLOW_SKLEARN_DOCS_URL") or "#"})
