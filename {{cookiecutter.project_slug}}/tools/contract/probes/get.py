"""Print the status of a GET for each path: `get.py PORT PATH...`."""

import http.client
import json
import sys

answers = []
for path in sys.argv[2:]:
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=5)
    connection.request("GET", path)
    answers.append(connection.getresponse().status)
print(json.dumps(answers))
