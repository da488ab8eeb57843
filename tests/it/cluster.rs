//! Stories over a real control plane: an API server with its controllers, istiod with its agent, a gateway, and the commands of
//! the documents. `./build.sh test cluster` starts the cluster that they share.

mod beside;
mod documented;
mod install;
mod load;
mod missing;
mod scene;
mod typo;
mod world;
