"""Can a pretext task be solved without looking at anatomy?"""
