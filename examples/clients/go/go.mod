module examples

go 1.19

require skytrail v0.0.0

replace skytrail => ../../../bindings/go
