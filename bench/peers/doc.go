// Command peers asks Lanyard's policies and those of three other engines the same questions, side by side: MinIO's IAM
// policies, Cedar and Open Policy Agent. It is a module of its own, so that none of them is a dependency of Lanyard's.
//
// Each engine has the documents as its language says them best, parsed beforehand, and what it wants to know of a request
// made beforehand. Where a language cannot say what Lanyard's documents do, the peer is asked something easier: MinIO knows
// no tags of principals and gets the user's name, Cedar has no variables in patterns and OPA's are prefixes.
package main
