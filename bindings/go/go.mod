module skytrail

go 1.19
