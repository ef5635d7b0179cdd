module github.com/awnumar/memguard

go 1.24

require strongroom v0.0.0

replace strongroom => ../..
