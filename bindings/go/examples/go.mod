module examples

go 1.24

require (
	github.com/awnumar/memguard v0.23.0
	strongroom v0.0.0
)

replace (
	github.com/awnumar/memguard => ../replace/memguard
	strongroom => ..
)
