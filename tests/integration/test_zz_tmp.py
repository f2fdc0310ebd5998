import time
def test_a(servers): time.sleep(100)
def test_b(servers): time.sleep(100)
